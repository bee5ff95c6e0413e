"""Times lookups of names of a made zone (examples/make_zone)."""

import random
import sys

from timing import install, mix, time_lookups

folder, delegations, program = sys.argv[1], int(sys.argv[2]), sys.argv[3]
draw = random.Random(7)
numbers = [draw.randrange(delegations) for _ in range(300)]
names = [f"{mix(number) & 0xFFFF:x}-{number}.example" for number in numbers]
time_lookups(install(program, folder), folder + "/fluxwatch.toml", folder + "/large.db", names)
