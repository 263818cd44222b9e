-- What the dashboard shows, and anybody may ask: error of each model, prediction
-- lag, trips completed and in progress. Everything is over the trips of the
-- last ${trip_retention}. Sums are of integer milliseconds and squared seconds.

-- One row per model and finished trip.
CREATE VIEW IF NOT EXISTS outcomes AS
SELECT
    c.trip_id,
    m.key AS model,
    (m.value->>'duration_s')::float8 AS predicted_s,
    c.duration_s AS actual_s,
    c.dropped_off_at,
    c.hour,
    CASE WHEN c.distance_km < 1 THEN 0
         WHEN c.distance_km < 2 THEN 1
         WHEN c.distance_km < 5 THEN 2
         WHEN c.distance_km < 10 THEN 5
         ELSE 10 END AS from_km
FROM completed AS c
JOIN predictions AS p ON p.trip_id = c.trip_id,
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

-- The same by five minutes of the city's clock in which the trips ended, by hour
-- of the pick-up, and by distance: from so many kilometres to the next of 0, 1,
-- 2, 5 and 10.
CREATE VIEW IF NOT EXISTS model_errors_5m AS
SELECT
    model,
    date_bin(INTERVAL '5 minutes', dropped_off_at, TIMESTAMP '2000-01-01 00:00:00') AS bucket,
    count(*)::int8 AS trips,
    sum((abs(predicted_s - actual_s) * 1000)::int8)::int8 AS abs_ms
FROM outcomes
GROUP BY 1, 2;

CREATE VIEW IF NOT EXISTS model_errors_by_hour AS
SELECT
    model,
    hour,
    count(*)::int8 AS trips,
    sum((abs(predicted_s - actual_s) * 1000)::int8)::int8 AS abs_ms
FROM outcomes
GROUP BY 1, 2;

CREATE VIEW IF NOT EXISTS model_errors_by_distance AS
SELECT
    model,
    from_km,
    count(*)::int8 AS trips,
    sum((abs(predicted_s - actual_s) * 1000)::int8)::int8 AS abs_ms
FROM outcomes
GROUP BY 1, 2;

-- The model with the least error over the hour before each five minutes, where
-- that hour has seen enough trips to say. A window that ends after the newest
-- bucket is not full yet.
CREATE VIEW IF NOT EXISTS model_errors_1h AS
SELECT
    model,
    bucket + k.k * INTERVAL '5 minutes' AS window_end,
    sum(trips)::int8 AS trips,
    sum(abs_ms)::int8 AS abs_ms
FROM model_errors_5m
CROSS JOIN generate_series(1, 12) AS k(k)
GROUP BY 1, 2;

CREATE VIEW IF NOT EXISTS model_maes_1h AS
SELECT model, window_end, trips, abs_ms::float8 / trips::float8 / 1000 AS mae_s
FROM model_errors_1h
WHERE trips >= 30;

CREATE VIEW IF NOT EXISTS best_models AS
SELECT DISTINCT ON (window_end) window_end, model, trips, mae_s
FROM model_maes_1h
ORDER BY window_end, mae_s, model;

-- From the pick-up's arrival to its prediction's, in milliseconds.
CREATE VIEW IF NOT EXISTS prediction_lags AS
SELECT
    p.trip_id,
    greatest(0, (EXTRACT(EPOCH FROM (p.kafka_ts - u.kafka_ts))::float8 * 1000)::int8) AS lag_ms
FROM predictions AS p
JOIN pick_ups AS u ON u.trip_id = p.trip_id;

CREATE VIEW IF NOT EXISTS prediction_lag_histogram AS
SELECT lag_ms, count(*)::int8 AS n
FROM prediction_lags
GROUP BY 1;

CREATE VIEW IF NOT EXISTS prediction_lag AS
SELECT
    sum(n)::int8 AS predictions,
    sum(lag_ms * n)::float8 / sum(n)::float8 AS mean_ms,
    min(CASE WHEN below + n >= 0.50 * total THEN lag_ms END) AS p50_ms,
    min(CASE WHEN below + n >= 0.99 * total THEN lag_ms END) AS p99_ms
FROM (
    SELECT
        lag_ms,
        n,
        sum(n) OVER (ORDER BY lag_ms) - n AS below,
        sum(n) OVER () AS total
    FROM prediction_lag_histogram
) AS cumulated
WHERE total > 0;

CREATE VIEW IF NOT EXISTS pick_up_count AS SELECT count(*)::int8 AS n FROM pick_ups;
CREATE VIEW IF NOT EXISTS drop_off_count AS SELECT count(*)::int8 AS n FROM drop_offs;
CREATE VIEW IF NOT EXISTS prediction_count AS SELECT count(*)::int8 AS n FROM predictions;
CREATE VIEW IF NOT EXISTS completed_count AS SELECT count(*)::int8 AS n FROM completed;
CREATE VIEW IF NOT EXISTS label_count AS SELECT count(*)::int8 AS n FROM labels;

CREATE VIEW IF NOT EXISTS trip_counts AS
SELECT
    u.n AS pick_ups,
    p.n AS predictions,
    c.n AS completed,
    u.n - c.n AS in_progress,
    l.n AS labels,
    d.n - c.n AS unmatched_drop_offs
FROM pick_up_count AS u
CROSS JOIN drop_off_count AS d
CROSS JOIN prediction_count AS p
CROSS JOIN completed_count AS c
CROSS JOIN label_count AS l;

-- One row as a trip starts, that is once it is predicted, and one as it ends.
CREATE VIEW IF NOT EXISTS trip_starts AS
SELECT
    p.trip_id, u.picked_up_at,
    u.pickup_longitude, u.pickup_latitude, u.dropoff_longitude, u.dropoff_latitude,
    p.predictions, p.champion,
    greatest(0, (EXTRACT(EPOCH FROM (p.kafka_ts - u.kafka_ts))::float8 * 1000)::int8) AS lag_ms,
    p.kafka_ts AS predicted_at
FROM predictions AS p
JOIN pick_ups AS u ON u.trip_id = p.trip_id;

CREATE VIEW IF NOT EXISTS trip_ends AS
SELECT trip_id, dropped_off_at, duration_s, kafka_ts AS ended_at
FROM completed;

-- What the dashboard subscribes to, and looks a trip up in.
CREATE INDEX IF NOT EXISTS model_errors_by_model ON model_errors (model);
CREATE DEFAULT INDEX IF NOT EXISTS ON prediction_lag;
CREATE DEFAULT INDEX IF NOT EXISTS ON trip_counts;
CREATE INDEX IF NOT EXISTS model_errors_5m_by_model ON model_errors_5m (model, bucket);
CREATE INDEX IF NOT EXISTS model_errors_by_hour_by_model ON model_errors_by_hour (model, hour);
CREATE INDEX IF NOT EXISTS model_errors_by_distance_by_model ON model_errors_by_distance (model, from_km);
CREATE INDEX IF NOT EXISTS best_models_by_window ON best_models (window_end);
CREATE INDEX IF NOT EXISTS trip_starts_by_trip ON trip_starts (trip_id);
CREATE INDEX IF NOT EXISTS trip_ends_by_trip ON trip_ends (trip_id);
CREATE INDEX IF NOT EXISTS pick_ups_by_trip ON pick_ups (trip_id);
CREATE INDEX IF NOT EXISTS predictions_by_trip ON predictions (trip_id);
