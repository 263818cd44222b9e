-- Log and wait: a label carries the features that predict was given, which it has
-- logged with its answer. They are never computed again for training.
CREATE VIEW IF NOT EXISTS predictions_typed AS
SELECT
    data->>'trip_id' AS spell_id,
    data->'features' AS features,
    data->'predictions' AS predictions,
    off,
    kafka_ts
FROM predictions_raw
WHERE mz_now() <= kafka_ts + INTERVAL '${trip_retention}';

-- predict may be asked twice; the first answer counts.
CREATE VIEW IF NOT EXISTS predictions AS
SELECT DISTINCT ON (spell_id) spell_id, features, predictions
FROM predictions_typed
WHERE spell_id IS NOT NULL
  AND jsonb_typeof(features) = 'object'
  AND jsonb_typeof(predictions) = 'object'
ORDER BY spell_id, off;

-- learn wants trip_id, features and duration_s: above 0, a day at most.
CREATE MATERIALIZED VIEW IF NOT EXISTS labels AS
SELECT
    p.spell_id AS trip_id,
    p.features,
    e.duration_s,
    MAP[
        'ce_specversion' => '1.0',
        'ce_type' => 'dev.tripcast.label.ready.v1',
        'ce_source' => '/bikes/labels',
        'ce_id' => p.spell_id,
        'ce_subject' => p.spell_id,
        'ce_partitionkey' => p.spell_id,
        'content-type' => 'application/json'
    ] AS headers
FROM ended AS e
JOIN predictions AS p ON p.spell_id = e.spell_id;

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
