-- From JSON to typed rows: a spell is one time that one station is empty.
--
-- A cast that fails puts a Materialize view into an error state for good, so
-- every cast is behind a pattern. What does not fit becomes NULL, and is named by
-- left_out. What is kept is bounded by arrival (kafka_ts), never by the clock of
-- the events: a recording of last year would vanish at once.
--
-- The id of a spell is the station and when it ran empty, as in
-- s042-2026-05-04T08:13:00Z. The functions call it trip_id.
CREATE VIEW IF NOT EXISTS emptied_typed AS
SELECT
    CASE WHEN data->>'station_id' ~ '^[A-Za-z0-9_.-]{1,64}$'
         THEN (data->>'station_id') || '-' || (data->>'emptied_at') END AS spell_id,
    data->>'station_id' AS station_id,
    CASE WHEN data->>'emptied_at' ~ '^20[0-9]{2}-((0[13-9]|1[0-2])-(0[1-9]|[12][0-9]|30)|(0[13578]|1[02])-31|02-(0[1-9]|1[0-9]|2[0-8]))T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$|^20([02468][048]|[13579][26])-02-29T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$'
         THEN (data->>'emptied_at')::timestamp END AS emptied_at,
    data->>'emptied_at' AS emptied_text,
    CASE WHEN data->>'capacity' ~ '^[1-9][0-9]{0,3}$' THEN (data->>'capacity')::int8 END AS capacity,
    CASE data->>'raining' WHEN 'true' THEN 1 WHEN 'false' THEN 0 END AS raining,
    part, off, kafka_ts
FROM emptied_raw
WHERE mz_now() <= kafka_ts + INTERVAL '${trip_retention}';

-- The first record of a redelivered spell counts.
CREATE VIEW IF NOT EXISTS spells AS
SELECT DISTINCT ON (spell_id) spell_id, station_id, emptied_at, emptied_text, capacity, raining, kafka_ts
FROM emptied_typed
WHERE spell_id IS NOT NULL AND emptied_at IS NOT NULL AND capacity IS NOT NULL AND raining IS NOT NULL
ORDER BY spell_id, off;

CREATE VIEW IF NOT EXISTS refilled_typed AS
SELECT
    CASE WHEN data->>'station_id' ~ '^[A-Za-z0-9_.-]{1,64}$'
         THEN (data->>'station_id') || '-' || (data->>'empty_since') END AS spell_id,
    CASE WHEN data->>'refilled_at' ~ '^20[0-9]{2}-((0[13-9]|1[0-2])-(0[1-9]|[12][0-9]|30)|(0[13578]|1[02])-31|02-(0[1-9]|1[0-9]|2[0-8]))T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$|^20([02468][048]|[13579][26])-02-29T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$'
         THEN (data->>'refilled_at')::timestamp END AS refilled_at,
    part, off, kafka_ts
FROM refilled_raw
WHERE mz_now() <= kafka_ts + INTERVAL '${trip_retention}';

CREATE VIEW IF NOT EXISTS refills AS
SELECT DISTINCT ON (spell_id) spell_id, refilled_at
FROM refilled_typed
WHERE spell_id IS NOT NULL AND refilled_at IS NOT NULL
ORDER BY spell_id, off;

-- A spell that is over. A refill without a spell is none, nor is one at or before
-- its start, or more than a day after: the functions know no longer duration.
CREATE VIEW IF NOT EXISTS ended AS
SELECT
    r.spell_id,
    s.station_id,
    r.refilled_at,
    EXTRACT(EPOCH FROM (r.refilled_at - s.emptied_at))::float8 AS duration_s
FROM refills AS r
JOIN spells AS s ON s.spell_id = r.spell_id
WHERE r.refilled_at > s.emptied_at
  AND r.refilled_at <= s.emptied_at + INTERVAL '1 day';
