-- What a channel without a process of its own needs: its state, when to look again, whose a call is.
ALTER TABLE calls ADD COLUMN channel_state TEXT;
ALTER TABLE calls ADD COLUMN due_at INTEGER;
ALTER TABLE calls ADD COLUMN node TEXT;
CREATE INDEX calls_due ON calls (due_at, id) WHERE ended_at IS NULL AND due_at IS NOT NULL;

CREATE TABLE vendor_ids (
  vendor    TEXT NOT NULL,
  vendor_id TEXT NOT NULL,
  call_id   TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
  leg_id    TEXT,
  PRIMARY KEY (vendor, vendor_id)
) STRICT;
CREATE INDEX vendor_ids_of_call ON vendor_ids (call_id);

-- No reference to calls: a webhook that is delivered again is answered the same when its call is erased.
CREATE TABLE answers (
  key     TEXT PRIMARY KEY,
  call_id TEXT,
  at      INTEGER NOT NULL,
  body    TEXT NOT NULL
) STRICT;
CREATE INDEX answers_oldest ON answers (at);

CREATE TABLE tallies (
  subject  TEXT PRIMARY KEY,
  began_at INTEGER NOT NULL,
  count    INTEGER NOT NULL
) STRICT;
CREATE INDEX tallies_oldest ON tallies (began_at);

CREATE INDEX messages_of_vendor ON messages (vendor_id) WHERE vendor_id IS NOT NULL;
