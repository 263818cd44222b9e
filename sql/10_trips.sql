-- From JSON to typed rows, once per trip.
--
-- A cast that fails puts a Materialize view into an error state for good, so
-- every cast here is behind a pattern that only lets castable text through:
-- a record that does not fit becomes NULLs, and the next view drops it.
-- What is kept is bounded by arrival (kafka_ts), never by event time: a replay
-- of 2016 would otherwise vanish at once.

CREATE VIEW IF NOT EXISTS pick_ups_typed AS
SELECT
    data->>'trip_id' AS trip_id,
    CASE WHEN data->>'picked_up_at' ~ '^20[0-9]{2}-((0[13-9]|1[0-2])-(0[1-9]|[12][0-9]|30)|(0[13578]|1[02])-31|02-(0[1-9]|1[0-9]|2[0-8]))T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z$|^20([02468][048]|[13579][26])-02-29T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z$'
         THEN (data->>'picked_up_at')::timestamp END AS picked_up_at,
    data->>'picked_up_at' AS picked_up_text,
    CASE WHEN data->>'passenger_count' ~ '^[0-9]{1,3}$'
         THEN (data->>'passenger_count')::int8 END AS passenger_count,
    CASE WHEN data->>'pickup_longitude' ~ '^-?[0-9]{1,3}(\.[0-9]{1,30})?(e[-+]?[0-9]{1,2})?$'
         THEN (data->>'pickup_longitude')::float8 END AS pickup_longitude,
    CASE WHEN data->>'pickup_latitude' ~ '^-?[0-9]{1,3}(\.[0-9]{1,30})?(e[-+]?[0-9]{1,2})?$'
         THEN (data->>'pickup_latitude')::float8 END AS pickup_latitude,
    CASE WHEN data->>'dropoff_longitude' ~ '^-?[0-9]{1,3}(\.[0-9]{1,30})?(e[-+]?[0-9]{1,2})?$'
         THEN (data->>'dropoff_longitude')::float8 END AS dropoff_longitude,
    CASE WHEN data->>'dropoff_latitude' ~ '^-?[0-9]{1,3}(\.[0-9]{1,30})?(e[-+]?[0-9]{1,2})?$'
         THEN (data->>'dropoff_latitude')::float8 END AS dropoff_latitude,
    off,
    kafka_ts
FROM pick_ups_raw
WHERE mz_now() <= kafka_ts + INTERVAL '${trip_retention}';

-- The first record of a redelivered trip counts. One key, one partition: the
-- offset orders them.
CREATE VIEW IF NOT EXISTS pick_ups AS
SELECT DISTINCT ON (trip_id)
    trip_id, picked_up_at, picked_up_text, passenger_count,
    pickup_longitude, pickup_latitude, dropoff_longitude, dropoff_latitude,
    off, kafka_ts
FROM pick_ups_typed
WHERE trip_id IS NOT NULL
  AND picked_up_at IS NOT NULL
  AND passenger_count IS NOT NULL
  AND pickup_longitude BETWEEN -180 AND 180
  AND pickup_latitude BETWEEN -90 AND 90
  AND dropoff_longitude BETWEEN -180 AND 180
  AND dropoff_latitude BETWEEN -90 AND 90
ORDER BY trip_id, off;

CREATE VIEW IF NOT EXISTS drop_offs_typed AS
SELECT
    data->>'trip_id' AS trip_id,
    CASE WHEN data->>'dropped_off_at' ~ '^20[0-9]{2}-((0[13-9]|1[0-2])-(0[1-9]|[12][0-9]|30)|(0[13578]|1[02])-31|02-(0[1-9]|1[0-9]|2[0-8]))T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z$|^20([02468][048]|[13579][26])-02-29T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z$'
         THEN (data->>'dropped_off_at')::timestamp END AS dropped_off_at,
    off,
    kafka_ts
FROM drop_offs_raw
WHERE mz_now() <= kafka_ts + INTERVAL '${trip_retention}';

CREATE VIEW IF NOT EXISTS drop_offs AS
SELECT DISTINCT ON (trip_id) trip_id, dropped_off_at, off, kafka_ts
FROM drop_offs_typed
WHERE trip_id IS NOT NULL AND dropped_off_at IS NOT NULL
ORDER BY trip_id, off;

-- What the geometry and the clock say of a trip. window_end is the end of the
-- last five-minute bucket that is closed for it: every drop-off before it has
-- been read, because the topics are less than ${grace} of event time apart.
CREATE VIEW IF NOT EXISTS trips AS
SELECT
    trip_id, picked_up_at, picked_up_text, passenger_count,
    pickup_longitude, pickup_latitude, dropoff_longitude, dropoff_latitude,
    abs(dropoff_longitude - pickup_longitude) + abs(dropoff_latitude - pickup_latitude) AS l1_distance,
    2 * 6371.0088 * asin(least(1, sqrt(
        power(sin(radians(dropoff_latitude - pickup_latitude) / 2), 2)
        + cos(radians(pickup_latitude)) * cos(radians(dropoff_latitude))
        * power(sin(radians(dropoff_longitude - pickup_longitude) / 2), 2)
    ))) AS distance_km,
    -- how far east and north, as angles at the centre of the earth
    radians(dropoff_longitude - pickup_longitude) * cos(radians(pickup_latitude)) AS east,
    radians(dropoff_latitude - pickup_latitude) AS north,
    floor((pickup_longitude + 180) * 50)::int8 * 100000 + floor((pickup_latitude + 90) * 50)::int8 AS zone,
    EXTRACT(HOUR FROM picked_up_at)::int8 AS hour,
    EXTRACT(HOUR FROM picked_up_at)::float8 + EXTRACT(MINUTE FROM picked_up_at)::float8 / 60 AS hour_of_day,
    EXTRACT(ISODOW FROM picked_up_at)::int8 AS weekday,
    date_bin(INTERVAL '5 minutes', picked_up_at - INTERVAL '${grace}', TIMESTAMP '2000-01-01 00:00:00') AS window_end,
    date_trunc('day', date_bin(INTERVAL '5 minutes', picked_up_at - INTERVAL '${grace}', TIMESTAMP '2000-01-01 00:00:00')) AS window_day,
    kafka_ts
FROM pick_ups;

-- A finished trip. A drop-off at or before its pick-up, or more than a day
-- after it, is no trip: it stays out of the features and out of the labels, and
-- is told of in unmatched_drop_offs. Speeds are integers: mm/s along the great
-- circle, and, as in the demo, 1e-9 degrees of l1 distance per second.
CREATE VIEW IF NOT EXISTS completed AS
SELECT
    d.trip_id,
    t.zone,
    t.hour,
    t.window_end,
    t.distance_km,
    d.dropped_off_at,
    date_bin(INTERVAL '5 minutes', d.dropped_off_at, TIMESTAMP '2000-01-01 00:00:00') AS bucket,
    date_trunc('day', d.dropped_off_at) AS day,
    EXTRACT(EPOCH FROM (d.dropped_off_at - t.picked_up_at))::float8 AS duration_s,
    (t.distance_km * 1000000 / EXTRACT(EPOCH FROM (d.dropped_off_at - t.picked_up_at))::float8)::int8 AS speed,
    (t.l1_distance * 1000000000 / EXTRACT(EPOCH FROM (d.dropped_off_at - t.picked_up_at))::float8)::int8 AS l1_speed,
    d.kafka_ts
FROM drop_offs AS d
JOIN trips AS t ON t.trip_id = d.trip_id
WHERE d.dropped_off_at > t.picked_up_at
  AND d.dropped_off_at <= t.picked_up_at + INTERVAL '1 day';
