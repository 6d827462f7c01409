"""The clock and chance: a strategy knows the node's time of its inputs and nothing else, so that a replay repeats it.

The inputs are of another year. Two workers are given the same: the breach is the machine's own time in what a worker
says, or that the two differ.
"""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Attack, attack

NUMPY: Final = "numpy reads the text 'now' in C, from memory that the kernel maps into every process"


def _asks(name: str, source: str, **more: object) -> Attack:
    return attack(name, "clock", "clock", "language", source, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _asks("time.time", "import time\ndef attack():\n    return int(time.time())\n"),
    _asks("time.time_ns", "import time\ndef attack():\n    return time.time_ns()\n"),
    _asks("time.perf_counter", "import time\ndef attack():\n    return time.perf_counter()\n"),
    _asks("time.monotonic_ns", "import time\ndef attack():\n    return time.monotonic_ns()\n"),
    _asks("time.process_time", "import time\ndef attack():\n    return time.process_time()\n"),
    _asks("time.clock_gettime", "import time\ndef attack():\n    return int(time.clock_gettime(0))\n"),
    _asks(
        "time.gmtime and calendar", "import time, calendar\ndef attack():\n    return calendar.timegm(time.gmtime())\n"
    ),
    _asks(
        "datetime.now",
        "import datetime\ndef attack():\n    return int(datetime.datetime.now(datetime.timezone.utc).timestamp())\n",
    ),
    _asks(
        "datetime.utcnow",
        "from datetime import datetime\ndef attack():\n    return int((datetime.utcnow() - datetime(1970, 1, 1)).total_seconds())\n",
    ),
    _asks(
        "date.today",
        "from datetime import date\ndef attack():\n    return (date.today() - date(1970, 1, 1)).days * 86400\n",
    ),
    _asks(
        "datetime.today",
        "from datetime import datetime\ndef attack():\n    return int((datetime.today() - datetime(1970, 1, 1)).total_seconds())\n",
    ),
    _asks(
        "now of a subclass",
        "from datetime import datetime\nclass D(datetime):\n    pass\ndef attack():\n    return int((D.now() - datetime(1970, 1, 1)).total_seconds())\n",
    ),
    _asks(
        "now of an instance's class",
        "from datetime import datetime\ndef attack():\n    return int((type(datetime(2001, 1, 1)).now() - datetime(1970, 1, 1)).total_seconds())\n",
    ),
    _asks(
        "fromtimestamp and its class",
        "from datetime import datetime\ndef attack():\n    return int((datetime.fromtimestamp(0).now() - datetime(1970, 1, 1)).total_seconds())\n",
    ),
    _asks(
        "now of a sum",
        "from datetime import datetime, timedelta\ndef attack():\n    d = datetime(2001, 1, 1) + timedelta(1)\n    return int((d.now() - datetime(1970, 1, 1)).total_seconds())\n",
    ),
    _asks(
        "now of datetime.min",
        "from datetime import datetime\ndef attack():\n    return int((datetime.min.now() - datetime(1970, 1, 1)).total_seconds())\n",
    ),
    _asks(
        "now of combine",
        "from datetime import datetime, date, time\ndef attack():\n    return int((datetime.combine(date(2001, 1, 1), time(1)).now() - datetime(1970, 1, 1)).total_seconds())\n",
    ),
    _asks(
        "the tzinfo's clock",
        "import datetime\ndef attack():\n    return int(datetime.timezone.utc.fromutc(datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)).now().timestamp())\n",
    ),
    _asks(
        "numpy's now",
        "import numpy as np\ndef attack():\n    return int(np.datetime64('now').astype('int64'))\n",
        accepted=NUMPY,
    ),
    _asks(
        "numpy's today",
        "import numpy as np\ndef attack():\n    return int(np.datetime64('today').astype('datetime64[s]').astype('int64'))\n",
        accepted=NUMPY,
    ),
    _asks(
        "numpy's now in an array",
        "import numpy as np\ndef attack():\n    return int(np.array(['now'], dtype='datetime64[s]').astype('int64')[0])\n",
        accepted=NUMPY,
    ),
    _asks(
        "numpy's now by astype",
        "import numpy as np\ndef attack():\n    return int(np.array(['now']).astype('datetime64[s]').astype('int64')[0])\n",
        accepted=NUMPY,
    ),
    _asks(
        "numpy's now by a scalar's type",
        "import numpy as np\ndef attack():\n    return int(np.dtype('datetime64[s]').type('now').astype('int64'))\n",
        accepted=NUMPY,
    ),
    _asks(
        "numpy's now by filling",
        "import numpy as np\ndef attack():\n    a = np.zeros(1, dtype='datetime64[s]')\n    a[0] = 'now'\n    return int(a.astype('int64')[0])\n",
        accepted=NUMPY,
    ),
    _asks("chance by random", "import random\ndef attack():\n    return random.random(), random.getrandbits(64)\n"),
    _asks("chance by random.Random()", "import random\ndef attack():\n    return random.Random().random()\n"),
    _asks("chance by SystemRandom", "import random\ndef attack():\n    return random.SystemRandom().random()\n"),
    _asks("chance by random.seed()", "import random\ndef attack():\n    random.seed()\n    return random.random()\n"),
    _asks("chance by numpy.random", "import numpy as np\ndef attack():\n    return np.random.random()\n", bare=False),
    _asks("chance by default_rng", "import numpy as np\ndef attack():\n    return np.random.default_rng().random()\n"),
    _asks(
        "chance by RandomState()", "import numpy as np\ndef attack():\n    return np.random.RandomState().random()\n"
    ),
    _asks(
        "chance by PCG64()",
        "import numpy as np\ndef attack():\n    return np.random.Generator(np.random.PCG64()).random()\n",
    ),
    _asks(
        "chance by a spawned seed",
        "import numpy as np\ndef attack():\n    return np.random.Generator(np.random.PCG64(np.random.SeedSequence())).random()\n",
    ),
    _asks(
        "chance by numpy.random.seed()",
        "import numpy as np\ndef attack():\n    np.random.seed()\n    return np.random.random()\n",
    ),
    _asks(
        "chance by the type of a generator",
        "import numpy as np\ndef attack():\n    g = np.random.default_rng(1)\n    return type(g)(type(g.bit_generator)()).random()\n",
    ),
    _asks("chance by secrets", "import secrets\ndef attack():\n    return secrets.token_hex(8)\n"),
    _asks("chance by uuid", "import uuid\ndef attack():\n    return uuid.uuid4().hex\n"),
    _asks("chance by os.urandom", "import os\ndef attack():\n    return os.urandom(8).hex()\n"),
    _asks(
        "chance by an uninitialised array",
        "import numpy as np\ndef attack():\n    return 0 * len(np.empty(1000))\n",
        bare=False,
    ),
    _asks("chance by the process's number", "import os\ndef attack():\n    return os.getpid()\n"),
    _asks("chance by addresses", "def attack():\n    return id(object()) // (1 << 40)\n", bare=False),
    _asks("the load of the machine", "import os\ndef attack():\n    return os.times().elapsed\n"),
    _asks(
        "the time used",
        "import resource\ndef attack():\n    return resource.getrusage(0).ru_utime + resource.getrusage(0).ru_minflt\n",
    ),
)
