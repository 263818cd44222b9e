-- Which model should be the champion: the one with the least error over the last
-- full hour, for promote to decide about.
--
-- This is computed all the time, whether anybody looks or not, so it is of some of
-- the trips alone: of those that end in the first five minutes of every
-- ${judged_every}. Models are compared by the same ones: one that has no error on
-- some of them, as it was silent, or said what is no duration (ten million seconds,
-- or less than none), or came in the middle of the hour, is not judged by the rest,
-- which may be the easy ones, but not at all in that hour. What promote is told is
-- the errors of an hour: how much better a model has to be, and for how long, is for
-- promote to say.

-- One row per bucket, which never changes: nothing below is computed again with
-- every trip.
CREATE VIEW IF NOT EXISTS begun_buckets AS
SELECT bucket, count(*)::int8 AS n
FROM city_speed_5m
GROUP BY 1;

CREATE VIEW IF NOT EXISTS judged_buckets AS
SELECT bucket, date_trunc('hour', bucket) AS hour
FROM begun_buckets
WHERE date_bin(INTERVAL '${judged_every}', bucket, TIMESTAMP '2000-01-01 00:00:00') = bucket;

CREATE VIEW IF NOT EXISTS judged_outcomes AS
SELECT
    c.trip_id, b.hour, m.key AS model,
    (abs((m.value->>'duration_s')::float8 - c.duration_s) * 1000)::int8 AS abs_ms
FROM completed AS c
JOIN judged_buckets AS b ON b.bucket = c.bucket
JOIN predictions AS p ON p.trip_id = c.trip_id,
LATERAL jsonb_each(p.predictions) AS m(key, value)
WHERE jsonb_typeof(m.value->'duration_s') = 'number'
  AND m.value->>'duration_s' ~ '^[0-9]{1,7}(\.[0-9]{1,30})?(e-[0-9]{1,2})?$'
  AND m.key ~ '^[a-z0-9][a-z0-9._-]{0,62}$';

CREATE VIEW IF NOT EXISTS judged_errors AS
SELECT hour, model, count(*)::int8 AS trips, sum(abs_ms)::int8 AS abs_ms
FROM judged_outcomes
GROUP BY 1, 2;

-- By how many trips an hour judges: those of the model that has the most.
CREATE VIEW IF NOT EXISTS judged_trips AS
SELECT hour, max(trips) AS trips
FROM judged_errors
GROUP BY 1;

-- An hour is over when drop-offs come in that are more than ${grace} later. One
-- after which nothing comes for an hour is left out.
CREATE VIEW IF NOT EXISTS hour_closings AS
SELECT date_trunc('hour', bucket - INTERVAL '${grace}') - INTERVAL '1 hour' AS hour, count(*)::int8 AS n
FROM begun_buckets
GROUP BY 1;

CREATE VIEW IF NOT EXISTS closed_hours AS
SELECT hour, count(*)::int8 AS n
FROM hour_closings
GROUP BY 1;

CREATE VIEW IF NOT EXISTS closed_errors AS
SELECT 'champion' AS role, e.hour, e.model, e.trips, e.abs_ms::float8 / e.trips::float8 / 1000 AS mae_s
FROM judged_errors AS e
JOIN judged_trips AS t ON t.hour = e.hour AND t.trips = e.trips
JOIN closed_hours AS h ON h.hour = e.hour
WHERE e.trips >= 30;

CREATE VIEW IF NOT EXISTS errors_of_hours AS
SELECT hour, jsonb_object_agg(model, mae_s) AS errors_s
FROM closed_errors
GROUP BY 1;

-- Of the newest of those hours.
CREATE VIEW IF NOT EXISTS least_error AS
SELECT DISTINCT ON (role) role, hour, model, trips, mae_s
FROM closed_errors
ORDER BY role, hour DESC, mae_s, model;

CREATE MATERIALIZED VIEW IF NOT EXISTS champion_proposals AS
SELECT
    l.role,
    l.model,
    replace((l.hour + INTERVAL '1 hour')::text, ' ', 'T') || 'Z' AS judged_at,
    l.trips,
    e.errors_s,
    MAP[
        'ce_specversion' => '1.0',
        'ce_type' => 'dev.tripcast.champion.proposed.v1',
        'ce_source' => '/tripcast/champions',
        'ce_id' => l.model || '@' || replace((l.hour + INTERVAL '1 hour')::text, ' ', 'T') || 'Z',
        'ce_subject' => l.role,
        'ce_partitionkey' => l.role,
        'content-type' => 'application/json'
    ] AS headers
FROM least_error AS l
JOIN errors_of_hours AS e ON e.hour = l.hour;

CREATE SINK IF NOT EXISTS champions_sink
FROM champion_proposals
INTO KAFKA CONNECTION redpanda (
    TOPIC 'champions',
    TOPIC PARTITION COUNT = 1,
    TOPIC CONFIG = MAP['cleanup.policy' => 'delete']
)
KEY (role) NOT ENFORCED
HEADERS headers
KEY FORMAT TEXT
VALUE FORMAT JSON
ENVELOPE UPSERT;
