CREATE TABLE packs (
    id          INTEGER PRIMARY KEY,
    name        BLOB NOT NULL UNIQUE,
    size_bytes  INTEGER NOT NULL
);
CREATE TABLE blocks (
    id           INTEGER PRIMARY KEY,
    pack         INTEGER NOT NULL REFERENCES packs (id),
    offset_bytes INTEGER NOT NULL,
    size_bytes   INTEGER NOT NULL
);
CREATE INDEX blocks_by_pack ON blocks (pack);
CREATE TABLE objects (
    id           BLOB NOT NULL,
    kind         INTEGER NOT NULL,
    block        INTEGER NOT NULL REFERENCES blocks (id),
    offset_bytes INTEGER NOT NULL,
    size_bytes   INTEGER NOT NULL,
    PRIMARY KEY (id, kind)
) WITHOUT ROWID;
CREATE TABLE snapshots (
    id             BLOB NOT NULL,
    unit           TEXT NOT NULL,
    profile        TEXT NOT NULL,
    manifest_bytes INTEGER NOT NULL,
    entries        INTEGER NOT NULL,
    size_bytes     INTEGER NOT NULL,
    stored_bytes   INTEGER NOT NULL,
    PRIMARY KEY (id, unit)
);
CREATE TABLE generations (
    unit     TEXT NOT NULL,
    number   INTEGER NOT NULL,
    snapshot BLOB NOT NULL,
    time     TEXT NOT NULL,
    host     TEXT NOT NULL,
    kind     TEXT NOT NULL,
    reason   TEXT NOT NULL,
    PRIMARY KEY (unit, number)
);
