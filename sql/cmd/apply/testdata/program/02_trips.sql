CREATE SOURCE IF NOT EXISTS trips_raw
FROM KAFKA CONNECTION redpanda (TOPIC 'trips')
VALUE FORMAT JSON -- as simulate writes it
INCLUDE TIMESTAMP AS kafka_ts;

CREATE VIEW IF NOT EXISTS trips AS
SELECT data->>'trip_id' AS trip_id
FROM trips_raw
WHERE mz_now() <= kafka_ts + INTERVAL '${trip_retention}';

CREATE DEFAULT INDEX IF NOT EXISTS ON trips;
