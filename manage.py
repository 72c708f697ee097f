#!/usr/bin/env python
"""Django's command line, with this project's settings."""

import gc
import os
import sys

if __name__ == "__main__":
    # Loading makes objects that stay: to look through them after every 700 took a sixth of a start.
    gc.set_threshold(20_000)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
