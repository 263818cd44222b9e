-- What the models see of a spell the moment it begins: the station, the clock, the
-- weather, and how long stations stayed empty of late.
--
-- Averages are of closed hours only. An hour that can still change would change
-- features that were written already, and each would be written again. Windows are
-- spelled out as rows (hour k is part of the window that ends k hours later), which
-- turns every lookup into an equality. Sums are of integers: engines add floats in
-- different orders.
CREATE VIEW IF NOT EXISTS station_1h AS
SELECT
    station_id,
    date_bin(INTERVAL '1 hour', refilled_at, TIMESTAMP '2000-01-01 00:00:00') AS bucket,
    sum(duration_s::int8)::int8 AS total_s,
    count(*)::int8 AS n
FROM ended
GROUP BY 1, 2;

-- Of each station, over 24 closed hours.
CREATE VIEW IF NOT EXISTS station_24h AS
SELECT
    station_id,
    bucket + k.k * INTERVAL '1 hour' AS window_end,
    sum(total_s)::int8 AS total_s,
    sum(n)::int8 AS n
FROM station_1h
CROSS JOIN generate_series(1, 24) AS k(k)
GROUP BY 1, 2;

-- Of all stations, over three.
CREATE VIEW IF NOT EXISTS all_1h AS
SELECT bucket, sum(total_s)::int8 AS total_s, sum(n)::int8 AS n
FROM station_1h
GROUP BY 1;

CREATE VIEW IF NOT EXISTS all_3h AS
SELECT
    bucket + k.k * INTERVAL '1 hour' AS window_end,
    sum(total_s)::int8 AS total_s,
    sum(n)::int8 AS n
FROM all_1h
CROSS JOIN generate_series(1, 3) AS k(k)
GROUP BY 1;

-- An hour is closed for a spell if it ended ${grace} before: by as much of the
-- stations' clock may the topics be apart. A spell stays here only long enough to
-- be written once; as it leaves, the sink writes a tombstone, which predict
-- acknowledges and ignores.
CREATE VIEW IF NOT EXISTS beginning AS
SELECT
    spell_id, station_id, emptied_text, capacity, raining,
    EXTRACT(HOUR FROM emptied_at)::float8 + EXTRACT(MINUTE FROM emptied_at)::float8 / 60 AS hour,
    EXTRACT(ISODOW FROM emptied_at)::int8 AS weekday,
    date_bin(INTERVAL '1 hour', emptied_at - INTERVAL '${grace}', TIMESTAMP '2000-01-01 00:00:00') AS window_end
FROM spells
WHERE mz_now() <= kafka_ts + INTERVAL '${features_retention}';

-- predict wants trip_id, picked_up_at (when it began) and numbers by name.
CREATE MATERIALIZED VIEW IF NOT EXISTS features AS
SELECT
    b.spell_id AS trip_id,
    b.emptied_text AS picked_up_at,
    jsonb_build_object(
        'capacity', b.capacity,
        'raining', b.raining,
        'is_weekend', CASE WHEN b.weekday >= 6 THEN 1 ELSE 0 END,
        'hour_cos', cos(radians(b.hour * 15)),
        'hour_sin', sin(radians(b.hour * 15)),
        -- minutes; where nothing is known yet, those of all stations, or 0
        'station_minutes', CASE
            WHEN s.n > 0 THEN s.total_s::float8 / s.n::float8 / 60
            WHEN a.n > 0 THEN a.total_s::float8 / a.n::float8 / 60
            ELSE 0 END,
        'all_minutes', CASE WHEN a.n > 0 THEN a.total_s::float8 / a.n::float8 / 60 ELSE 0 END
    ) AS features,
    MAP[
        'ce_specversion' => '1.0',
        'ce_type' => 'dev.tripcast.features.ready.v1',
        'ce_source' => '/bikes/features',
        'ce_id' => b.spell_id,
        'ce_subject' => b.spell_id,
        'ce_partitionkey' => b.spell_id,
        'content-type' => 'application/json'
    ] AS headers
FROM beginning AS b
LEFT JOIN station_24h AS s ON s.station_id = b.station_id AND s.window_end = b.window_end
LEFT JOIN all_3h AS a ON a.window_end = b.window_end;

CREATE SINK IF NOT EXISTS features_sink
FROM features
INTO KAFKA CONNECTION redpanda (
    TOPIC 'features',
    TOPIC PARTITION COUNT = 3,
    TOPIC CONFIG = MAP['cleanup.policy' => 'delete']
)
KEY (trip_id) NOT ENFORCED
HEADERS headers
KEY FORMAT TEXT
VALUE FORMAT JSON
ENVELOPE UPSERT;
