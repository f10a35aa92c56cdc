"""What workflow code must not use, by full name: what it does there, and what to use instead."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """`does` follows the name in a sentence, `instead` is a sentence of its own."""

    does: str
    instead: str


def words(text: str) -> frozenset[str]:
    """Names as one text: a list of so many would take a line each."""
    return frozenset(text.split())


_IN_A_STEP = "move it into a @step"
_CLOCK = Advice("reads the clock, which shows another time on every replay", "use perdure.now()")
_SLEEP = Advice("blocks the worker and does not survive a restart", "use `await asyncio.sleep(…)`, which does")
_RANDOM = Advice("gives other values on every replay", "use perdure.random(), the run's own generator")
_UUID = Advice("gives another id on every replay", "use perdure.uuid4()")
_SECRET = Advice("gives other bytes on every replay", "use perdure.uuid4() or perdure.random(), or draw a secret in a @step")
_FILE = Advice("reads or changes files, which happens again on every replay", _IN_A_STEP)
_PROCESS = Advice("starts or signals a process, which happens again on every replay", _IN_A_STEP)
_NETWORK = Advice("talks over the network, which happens again on every replay", _IN_A_STEP)
_DATABASE = Advice("talks to a database, which happens again on every replay", _IN_A_STEP)
_THREAD = Advice("starts a thread or process, whose moment does not replay", "use a @step: a plain `def` runs in a thread of its own")
_BLOCKS = Advice("blocks the worker, and the order of threads does not replay", "use asyncio's own: it is durable inside a workflow")
_LOOP = Advice("leaves the run's own event loop", f"await it directly, or {_IN_A_STEP}")
_HOST = Advice("differs from host to host and from start to start", "read it in a @step, or give it to the workflow as an argument")
_PERSON = Advice("waits for a keyboard", "use `await receive(…)`")
_IDENTITY = Advice("differs from process to process", "use a key of your own, or hashlib")
_EXIT = Advice("ends the worker", "return or raise")

_TABLE: tuple[tuple[Advice, str], ...] = (
    (
        _CLOCK,
        """time.time time.time_ns time.monotonic time.monotonic_ns time.perf_counter time.perf_counter_ns time.process_time
        time.process_time_ns time.thread_time time.thread_time_ns time.clock_gettime time.clock_gettime_ns time.localtime time.gmtime
        time.ctime time.asctime time.strftime datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today
        pendulum.now pendulum.today arrow.now arrow.utcnow django.utils.timezone.now pandas.Timestamp.now pandas.Timestamp.today
        pandas.Timestamp.utcnow whenever.Instant.now""",
    ),
    (_SLEEP, "time.sleep"),
    (
        _RANDOM,
        """random.random random.randint random.randrange random.choice random.choices random.sample random.shuffle random.uniform
        random.triangular random.betavariate random.binomialvariate random.expovariate random.gammavariate random.gauss
        random.lognormvariate random.normalvariate random.vonmisesvariate random.paretovariate random.weibullvariate random.getrandbits
        random.randbytes random.seed random.setstate random.getstate random.Random random.SystemRandom numpy.random.*""",
    ),
    (_UUID, "uuid.uuid1 uuid.uuid4 uuid.uuid6 uuid.uuid7 ulid.new ulid.ULID nanoid.generate shortuuid.uuid cuid2.Cuid"),
    (_SECRET, "secrets.* os.urandom os.getrandom ssl.RAND_bytes"),
    (
        _FILE,
        """builtins.open io.open io.open_code codecs.open os.open os.read os.write os.listdir os.scandir os.walk os.fwalk os.stat os.lstat
        os.mkdir os.makedirs os.remove os.unlink os.rename os.renames os.replace os.rmdir os.removedirs os.link os.symlink
        os.readlink os.truncate os.chmod os.chown os.utime os.access os.statvfs os.getcwd os.chdir os.path.exists os.path.lexists
        os.path.isfile os.path.isdir os.path.islink os.path.ismount os.path.getsize os.path.getmtime os.path.getatime os.path.getctime
        os.path.samefile os.path.realpath shutil.* glob.glob glob.iglob tempfile.* fileinput.input linecache.getline aiofiles.*
        anyio.open_file zipfile.ZipFile tarfile.open gzip.open bz2.open lzma.open shelve.open mmap.mmap logging.FileHandler""",
    ),
    (
        _PROCESS,
        """subprocess.run subprocess.call subprocess.check_call subprocess.check_output subprocess.getoutput
        subprocess.getstatusoutput subprocess.Popen os.system os.popen os.fork os.forkpty os.kill os.killpg os.spawn* os.exec*
        os.posix_spawn os.posix_spawnp os.startfile os.wait os.waitpid asyncio.create_subprocess_exec asyncio.create_subprocess_shell
        signal.signal signal.alarm signal.raise_signal pty.spawn webbrowser.open""",
    ),
    (
        _NETWORK,
        """socket.socket socket.create_connection socket.create_server socket.getaddrinfo socket.gethostbyname socket.gethostbyaddr
        socket.getfqdn asyncio.open_connection asyncio.open_unix_connection asyncio.start_server asyncio.start_unix_server
        urllib.request.* urllib3.request urllib3.PoolManager http.client.HTTPConnection http.client.HTTPSConnection smtplib.SMTP
        smtplib.SMTP_SSL imaplib.IMAP4 imaplib.IMAP4_SSL poplib.POP3 ftplib.FTP ftplib.FTP_TLS xmlrpc.client.ServerProxy
        requests.get requests.post requests.put requests.patch requests.delete requests.head requests.options requests.request
        requests.Session requests.session httpx.get httpx.post httpx.put httpx.patch httpx.delete httpx.head httpx.options httpx.request
        httpx.stream httpx.Client httpx.AsyncClient aiohttp.ClientSession aiohttp.request websockets.connect websocket.create_connection
        niquests.get niquests.post niquests.Session niquests.AsyncSession aiosmtplib.send boto3.client boto3.resource boto3.Session
        aioboto3.Session grpc.insecure_channel grpc.secure_channel grpc.aio.insecure_channel grpc.aio.secure_channel paramiko.SSHClient
        openai.OpenAI openai.AsyncOpenAI anthropic.Anthropic anthropic.AsyncAnthropic kafka.KafkaProducer kafka.KafkaConsumer
        aiokafka.AIOKafkaProducer aiokafka.AIOKafkaConsumer pika.BlockingConnection stripe.*""",
    ),
    (
        _DATABASE,
        """sqlite3.connect apsw.Connection aiosqlite.connect psycopg.connect psycopg.Connection.connect psycopg.AsyncConnection.connect
        psycopg2.connect asyncpg.connect asyncpg.create_pool pymysql.connect aiomysql.connect aiomysql.create_pool pymongo.MongoClient
        motor.motor_asyncio.AsyncIOMotorClient redis.Redis redis.from_url redis.asyncio.Redis redis.asyncio.from_url
        sqlalchemy.create_engine sqlalchemy.orm.Session sqlalchemy.ext.asyncio.create_async_engine sqlalchemy.ext.asyncio.AsyncSession
        duckdb.connect dbm.open""",
    ),
    (
        _THREAD,
        """threading.Thread threading.Timer _thread.start_new_thread concurrent.futures.ThreadPoolExecutor
        concurrent.futures.ProcessPoolExecutor multiprocessing.Process multiprocessing.Pool multiprocessing.pool.ThreadPool
        multiprocessing.Queue multiprocessing.Manager asyncio.to_thread anyio.to_thread.run_sync asgiref.sync.sync_to_async
        joblib.Parallel""",
    ),
    (
        _BLOCKS,
        """threading.Lock threading.RLock threading.Event threading.Condition threading.Semaphore threading.BoundedSemaphore
        threading.Barrier queue.Queue queue.SimpleQueue queue.LifoQueue queue.PriorityQueue select.select selectors.DefaultSelector""",
    ),
    (
        _LOOP,
        """asyncio.run asyncio.run_coroutine_threadsafe asyncio.new_event_loop asyncio.set_event_loop asyncio.Runner anyio.run
        asgiref.sync.async_to_sync nest_asyncio.apply""",
    ),
    (
        _HOST,
        """os.environ os.getenv os.environb os.getpid os.getppid os.getlogin os.uname os.cpu_count os.process_cpu_count os.getloadavg
        os.times socket.gethostname platform.node platform.uname platform.platform getpass.getuser uuid.getnode threading.get_ident
        threading.get_native_id threading.current_thread psutil.* resource.getrusage""",
    ),
    (_PERSON, "builtins.input getpass.getpass builtins.breakpoint"),
    (_IDENTITY, "builtins.hash builtins.id"),
    (_EXIT, "os._exit os.abort"),
)

_EXACT = {name: advice for advice, names in _TABLE for name in names.split() if not name.endswith("*")}
_BEGINNINGS = {name.removesuffix("*"): advice for advice, names in _TABLE for name in names.split() if name.endswith("*")}

HARMLESS_WITH_ARGUMENTS = {
    "random.Random": 1,
    "numpy.random.default_rng": 1,
    "numpy.random.RandomState": 1,
    "time.localtime": 1,
    "time.gmtime": 1,
    "time.ctime": 1,
    "time.asctime": 1,
    "time.strftime": 2,
}
"""From so many arguments on they only compute: a generator with a seed, a given time."""

METHODS = {
    "run_in_executor": _THREAD,
    "call_soon_threadsafe": Advice("is called from a thread", "await what you wait for"),
    "add_signal_handler": Advice("handles a signal of the process", "use `await receive(…)`"),
    "run_until_complete": _LOOP,
    "read_text": _FILE,
    "write_text": _FILE,
    "read_bytes": _FILE,
    "write_bytes": _FILE,
    "iterdir": _FILE,
}
"""Methods that are told by their names, whatever object they are called on."""

_PATH_METHODS = words(
    """exists is_file is_dir is_symlink is_mount stat lstat open mkdir rmdir unlink touch rename replace glob rglob walk resolve cwd home
    expanduser samefile symlink_to hardlink_to chmod readlink owner group"""
)
_CONNECTIONS = frozenset(_EXACT[name].does for name in ("socket.socket", "sqlite3.connect"))

SHARED = {
    f"asyncio.{name}": Advice(
        "is made once for all runs of this process: who waits there is neither recorded nor woken after a restart",
        "make it inside the workflow",
    )
    for name in words("Lock Event Condition Semaphore BoundedSemaphore Queue LifoQueue PriorityQueue Barrier")
} | {
    "random.Random": Advice("is shared by all runs of this process, so its numbers differ on a replay", "use perdure.random()"),
    "itertools.count": Advice("is shared by all runs of this process, so its numbers differ on a replay", "count inside the workflow"),
}
"""Classes whose objects must not be kept by the module that a workflow stands in."""


def advice_for(name: str) -> Advice | None:
    """About an outside name in full, e.g. `datetime.datetime.now`."""
    found = _EXACT.get(name)
    if found is not None:
        return found
    return next((advice for begin, advice in _BEGINNINGS.items() if name.startswith(begin) and name != begin), None)


def advice_for_method(kind: str, method: str) -> Advice | None:
    """About a method of an object of a known outside class or opener, e.g. `httpx.AsyncClient`, `get`."""
    if kind in {"pathlib.Path", "pathlib.PosixPath"} and method in _PATH_METHODS:
        return _FILE
    made = _EXACT.get(kind)
    return made if made is not None and made.does in _CONNECTIONS else METHODS.get(method)
