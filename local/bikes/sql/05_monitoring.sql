-- What anybody may ask. model_errors, model_errors_5m and trip_counts have the
-- names and columns that the dashboard looks for; whatever else it has a place for
-- may be missing. Sums are of integer milliseconds and squared seconds.

-- One row per model and spell that is over.
CREATE VIEW IF NOT EXISTS outcomes AS
SELECT
    e.spell_id,
    m.key AS model,
    (m.value->>'duration_s')::float8 AS predicted_s,
    e.duration_s AS actual_s,
    e.refilled_at
FROM ended AS e
JOIN predictions AS p ON p.spell_id = e.spell_id,
LATERAL jsonb_each(p.predictions) AS m(key, value)
WHERE jsonb_typeof(m.value->'duration_s') = 'number'
  AND m.value->>'duration_s' ~ '^[0-9]{1,7}(\.[0-9]{1,30})?(e-[0-9]{1,2})?$';

CREATE VIEW IF NOT EXISTS model_error_sums AS
SELECT
    model,
    count(*)::int8 AS trips,
    sum((abs(predicted_s - actual_s) * 1000)::int8)::int8 AS abs_ms,
    sum(((predicted_s - actual_s) * 1000)::int8)::int8 AS bias_ms,
    sum(((predicted_s - actual_s) * (predicted_s - actual_s))::int8)::int8 AS squared_s
FROM outcomes
GROUP BY 1;

CREATE VIEW IF NOT EXISTS model_errors AS
SELECT
    model,
    trips,
    abs_ms::float8 / trips::float8 / 1000 AS mae_s,
    sqrt(squared_s::float8 / trips::float8) AS rmse_s,
    bias_ms::float8 / trips::float8 / 1000 AS bias_s
FROM model_error_sums;

CREATE VIEW IF NOT EXISTS model_errors_5m AS
SELECT
    model,
    date_bin(INTERVAL '5 minutes', refilled_at, TIMESTAMP '2000-01-01 00:00:00') AS bucket,
    count(*)::int8 AS trips,
    sum((abs(predicted_s - actual_s) * 1000)::int8)::int8 AS abs_ms
FROM outcomes
GROUP BY 1, 2;

CREATE VIEW IF NOT EXISTS spell_count AS SELECT count(*)::int8 AS n FROM spells;
CREATE VIEW IF NOT EXISTS refill_count AS SELECT count(*)::int8 AS n FROM refills;
CREATE VIEW IF NOT EXISTS prediction_count AS SELECT count(*)::int8 AS n FROM predictions;
CREATE VIEW IF NOT EXISTS ended_count AS SELECT count(*)::int8 AS n FROM ended;
CREATE VIEW IF NOT EXISTS label_count AS SELECT count(*)::int8 AS n FROM labels;

CREATE VIEW IF NOT EXISTS trip_counts AS
SELECT
    s.n AS pick_ups,
    p.n AS predictions,
    e.n AS completed,
    s.n - e.n AS in_progress,
    l.n AS labels,
    r.n - e.n AS unmatched_drop_offs
FROM spell_count AS s
CROSS JOIN refill_count AS r
CROSS JOIN prediction_count AS p
CROSS JOIN ended_count AS e
CROSS JOIN label_count AS l;

-- Events that do not decode, by their place in the topic.
CREATE VIEW IF NOT EXISTS left_out AS
SELECT 'emptied' AS topic, part, off
FROM emptied_typed
WHERE spell_id IS NULL OR emptied_at IS NULL OR capacity IS NULL OR raining IS NULL
UNION ALL
SELECT 'refilled' AS topic, part, off
FROM refilled_typed
WHERE spell_id IS NULL OR refilled_at IS NULL;

CREATE INDEX IF NOT EXISTS model_errors_by_model ON model_errors (model);
CREATE INDEX IF NOT EXISTS model_errors_5m_by_model ON model_errors_5m (model, bucket);
CREATE DEFAULT INDEX IF NOT EXISTS ON trip_counts;
