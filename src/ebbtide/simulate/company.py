"""The invented customers of the sample company: names, plans and contacts.

No name stands for a real business or person; any likeness is chance. Every address lies under
example.com, which is reserved and reaches nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from ebbtide.simulate.draws import Draws

#: Plan and its price in USD per 30 days.
PLAN_PRICE_USD = {"starter": 49, "team": 149, "business": 499, "enterprise": 1900}

# One name a line of thought; the id is the name in lower case with hyphens.
_NAMES = (
    "Quillmarsh Legal", "Tarnbeck Systems", "Oxbow Lantern", "Velden Rail", "Peppergate Apps",
    "Hollowmere Counsel", "Brackenfold Labs", "Candlewharf Data", "Marrowstone Audit",
    "Dovetail Orchard", "Saltmarrow Search", "Fenwhistle Care", "Copperlark Claims",
    "Thistledown Notary", "Ravenspool Bank Tools", "Linden Kettle", "Greywater Dispatch",
    "Amberfold Permits", "Larkspindle Games", "Stonecrop Triage", "Bellwether Quay",
    "Nettlecombe Tax", "Osprey Hollow", "Pinemarrow Health", "Rushlight Freight",
    "Silverthorn Ledger", "Tidewick Travel", "Umberline Media", "Wrenfield Schools",
    "Yarrowgate Homes", "Ashenbrook Energy", "Birchhaven Pay", "Cobblepath Studio",
    "Driftmoor Parcel", "Elderquay Insurance", "Foxglove Harbor", "Gorsefield Farms",
    "Hazelmint Foods", "Inkwell Bridge", "Juniper Loft", "Kestrelmoor Fleet",
    "Lowtide Robotics", "Mossgrove Clinic", "Nightjar Support", "Oakhamlet Realty",
    "Plumwood Events", "Quarryside Build", "Redfern Compliance", "Sedgewater Labs",
    "Tallowmere Press", "Undercliff Security", "Violetmoor Fashion", "Willowgauge Metrics",
    "Yewbank Pensions", "Zephyrcroft Air", "Alderpoint Hiring", "Beaconfen Alerts",
    "Cloverhill Dairy", "Dunlinmarsh Water", "Emberlane Kitchens", "Fallowtree Grants",
    "Gullstone Marine", "Heronsgate Patents", "Ivymoat Archives", "Jackdaw Tickets",
    "Knotweed Software", "Lichenrock Mining", "Meadowlatch Pets", "Northgorse Grid",
    "Otterburn Fields", "Puffinshore Tours", "Quincewood Estates", "Reedmace Hosting",
    "Snowberry Clinics", "Teaselbank Cards", "Upwold Logistics", "Vetchling Seeds",
    "Wagtail Mobility", "Yellowhammer Radio", "Zinnia Workshop",
)  # fmt: skip
_FIRST_NAMES = (
    "Ada", "Bruno", "Celia", "Dario", "Elif", "Farid", "Greta", "Hana", "Ivo", "Jonas",
    "Kaia", "Lena", "Malik", "Nora", "Oskar", "Priya", "Quentin", "Rosa", "Samir", "Tilda",
)  # fmt: skip
_LAST_NAMES = (
    "Abend", "Birkwood", "Castell", "Dunmore", "Ekholt", "Farrow", "Grunwell", "Hasting",
    "Ilmari", "Jarvo", "Kestler", "Lindqvar", "Morrin", "Neuhall", "Okonra", "Pellwin",
)  # fmt: skip
_CONTACT_ROLES = ("owner", "engineering lead", "legal counsel", "support lead", "finance")


@dataclass(frozen=True, slots=True)
class Company:
    """One invented customer as the directory knows it, before anything happens to it."""

    tenant_id: str
    name: str
    contacts: tuple[dict[str, str], ...]
    user_ids: tuple[str, ...]


def company(index: int, draws: Draws) -> Company:
    """The customer with this number, counted from 0; beyond the list, names get a number."""
    round_number, place = divmod(index, len(_NAMES))
    name = _NAMES[place] if round_number == 0 else f"{_NAMES[place]} {round_number + 1}"
    tenant_id = name.lower().replace(" ", "-")
    contacts = []
    for number in range(1 + draws.below(2)):
        first, last = draws.pick(_FIRST_NAMES), draws.pick(_LAST_NAMES)
        contacts.append(
            {
                "name": f"{first} {last}",
                "email": f"{first}.{last}@{tenant_id}.example.com".lower(),
                "role": "owner" if number == 0 else draws.pick(_CONTACT_ROLES[1:]),
            }
        )
    num_users = 2 + draws.below(5)
    return Company(
        tenant_id=tenant_id,
        name=name,
        contacts=tuple(contacts),
        user_ids=tuple(f"{tenant_id}-user-{number}" for number in range(1, num_users + 1)),
    )
