"""urllib, of the standard library."""

import sys
from urllib.request import Request, urlopen

url, order = sys.argv[1:]
request = Request(f"{url}/orders", order.encode(), {"Content-Type": "application/json"})
with urlopen(request) as placed:
    print(placed.status)
    location = placed.headers["Location"]
with urlopen(f"{url}{location}") as read:
    print(read.status)
    print(read.read().decode())
