"""What endangers a store on this server: settings that lose what was acknowledged."""

from collections.abc import Sequence

from perdure.model.findings import Finding, Level
from perdure.store.postgresql.connections import Connection

DURABLE = {"fsync": ("on",), "full_page_writes": ("on",), "synchronous_commit": ("on", "local", "remote_write", "remote_apply")}


async def examine(db: Connection) -> Sequence[Finding]:
    """Of the whole server."""
    version = await db.fetchval("select current_setting('server_version')")
    wrong = [
        f"{name}={value}"
        for name, value in await db.fetch("select name, setting from pg_settings where name = any($1::text[]) order by name", list(DURABLE))
        if value not in DURABLE[name]
    ]
    what = f"PostgreSQL {version}"
    if wrong:
        remedy = f"set {', '.join(DURABLE)} to on: what was acknowledged must outlive a crash"
        return [Finding("durability", Level.WRONG, f"{what}, {', '.join(wrong)}: what was acknowledged may be lost in a power cut", remedy)]
    return [Finding("durability", Level.OK, f"{what}, {', '.join(f'{name}=on' for name in DURABLE)}")]
