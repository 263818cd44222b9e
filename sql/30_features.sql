-- What the models see of a trip the moment it starts. A trip stays here only
-- long enough to be written once; when it leaves, the sink writes a tombstone,
-- which predict acknowledges and ignores.
CREATE VIEW IF NOT EXISTS starting AS
SELECT
    trip_id, picked_up_at, picked_up_text, passenger_count,
    pickup_longitude, pickup_latitude, dropoff_longitude, dropoff_latitude,
    l1_distance, distance_km, east, north, zone, hour, hour_of_day, weekday,
    window_end, window_day, kafka_ts
FROM trips
WHERE mz_now() <= kafka_ts + INTERVAL '${features_retention}';

CREATE MATERIALIZED VIEW IF NOT EXISTS features AS
SELECT
    s.trip_id,
    s.picked_up_text AS picked_up_at,
    jsonb_build_object(
        -- the demo's six
        'passenger_count', s.passenger_count,
        'is_weekend', CASE WHEN s.weekday >= 6 THEN 1 ELSE 0 END,
        'l1_distance', s.l1_distance,
        'avg_speed_by_hour', CASE WHEN COALESCE(p.n, 0) + COALESCE(t.n, 0) > 0
            THEN (COALESCE(p.speed_sum, 0) + COALESCE(t.speed_sum, 0))::float8
                 / (COALESCE(p.n, 0) + COALESCE(t.n, 0))::float8 / 1000000000
            ELSE 0 END,
        'hour_cos', cos(radians(s.hour_of_day * 15)),
        'hour_sin', sin(radians(s.hour_of_day * 15)),
        -- and ours
        'distance_km', s.distance_km,
        -- degrees clockwise from north, 0 for a trip that goes nowhere
        'bearing', CASE
            WHEN s.east = 0 AND s.north = 0 THEN 0
            WHEN s.north >= 0 AND s.east >= 0 THEN degrees(asin(least(1, s.east / sqrt(s.east * s.east + s.north * s.north))))
            WHEN s.north < 0 THEN 180 - degrees(asin(greatest(-1, least(1, s.east / sqrt(s.east * s.east + s.north * s.north)))))
            ELSE 360 + degrees(asin(greatest(-1, s.east / sqrt(s.east * s.east + s.north * s.north))))
        END,
        'pickup_longitude', s.pickup_longitude,
        'pickup_latitude', s.pickup_latitude,
        'dropoff_longitude', s.dropoff_longitude,
        'dropoff_latitude', s.dropoff_latitude,
        -- km/h around the pick-up in the last closed hour; the city's where the zone has seen fewer than five trips
        'recent_speed', CASE
            WHEN z.n >= 5 THEN z.speed_sum::float8 / z.n::float8 * 0.0036
            WHEN c.n > 0 THEN c.speed_sum::float8 / c.n::float8 * 0.0036
            ELSE 0 END
    ) AS features,
    MAP[
        'ce_specversion' => '1.0',
        'ce_type' => 'dev.tripcast.features.ready.v1',
        'ce_source' => '/tripcast/features',
        'ce_id' => s.trip_id,
        'ce_subject' => s.trip_id,
        'ce_partitionkey' => s.trip_id,
        'content-type' => 'application/json'
    ] AS headers
FROM starting AS s
LEFT JOIN hour_speed_past AS p ON p.hour = s.hour AND p.window_day = s.window_day
LEFT JOIN hour_speed_today AS t ON t.hour = s.hour AND t.window_end = s.window_end
LEFT JOIN zone_speed_1h AS z ON z.zone = s.zone AND z.window_end = s.window_end
LEFT JOIN city_speed_1h AS c ON c.window_end = s.window_end;

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
