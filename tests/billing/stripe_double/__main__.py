"""`python -m tests.billing.stripe_double`: the stand-in as a process, for a site run by hand."""

import argparse
import threading

from tests.billing.stripe_double.server import stripe_double

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, default=12111)
parser.add_argument("--webhook", help="where events are sent")
arguments = parser.parse_args()
with stripe_double(arguments.webhook, arguments.port) as running:
    print(running.url)
    threading.Event().wait()
