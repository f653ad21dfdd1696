"""A process that trains the trials it is sent: ``python -m mmgraph.study.worker``.

Each line on standard input asks for one trial; each line on standard output is an event of it. The process ends with
its input, and at the next event when nobody listens any more; a run that it leaves behind can be gone on with.
"""

import json
import os
import sys
from dataclasses import asdict

from mmgraph.study.trial import Event, Place, Trial, run_trial


def main() -> None:
    """Serve until the input ends."""
    # What libraries print must not come between the events.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(event: Event) -> None:
        answers.write(f"{json.dumps(asdict(event))}\n")
        answers.flush()

    for line in sys.stdin:
        request = json.loads(line)
        run_trial(Trial.from_json(request["trial"]), tell, place=Place(**request["place"]))


if __name__ == "__main__":
    main()
