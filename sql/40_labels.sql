-- Log and wait: a label carries the features that were logged where the
-- prediction was made. Features are never computed again for training.

CREATE VIEW IF NOT EXISTS predictions_typed AS
SELECT
    data->>'trip_id' AS trip_id,
    data->'features' AS features,
    data->'predictions' AS predictions,
    data->>'champion' AS champion,
    off,
    kafka_ts
FROM predictions_raw
WHERE mz_now() <= kafka_ts + INTERVAL '${trip_retention}';

-- predict may be asked twice; the first answer is the one that was served.
CREATE VIEW IF NOT EXISTS predictions AS
SELECT DISTINCT ON (trip_id) trip_id, features, predictions, champion, off, kafka_ts
FROM predictions_typed
WHERE trip_id IS NOT NULL
  AND jsonb_typeof(features) = 'object'
  AND jsonb_typeof(predictions) = 'object'
ORDER BY trip_id, off;

CREATE MATERIALIZED VIEW IF NOT EXISTS labels AS
SELECT
    p.trip_id,
    p.features,
    c.duration_s,
    MAP[
        'ce_specversion' => '1.0',
        'ce_type' => 'dev.tripcast.label.ready.v1',
        'ce_source' => '/tripcast/labels',
        'ce_id' => p.trip_id,
        'ce_subject' => p.trip_id,
        'ce_partitionkey' => p.trip_id,
        'content-type' => 'application/json'
    ] AS headers
FROM completed AS c
JOIN predictions AS p ON p.trip_id = c.trip_id;

CREATE SINK IF NOT EXISTS labels_sink
FROM labels
INTO KAFKA CONNECTION redpanda (
    TOPIC 'labels',
    TOPIC PARTITION COUNT = 3,
    TOPIC CONFIG = MAP['cleanup.policy' => 'delete']
)
KEY (trip_id) NOT ENFORCED
HEADERS headers
KEY FORMAT TEXT
VALUE FORMAT JSON
ENVELOPE UPSERT;
