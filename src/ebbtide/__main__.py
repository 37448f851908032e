"""``python -m ebbtide`` is the command ``ebbtide``."""

from ebbtide.app.main import main

main()
