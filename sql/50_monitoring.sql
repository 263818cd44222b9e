-- What the dashboard shows, and anybody may ask: error of each model, prediction
-- lag, trips completed, in progress and never matched. Everything is over the trips
-- of the last ${trip_retention}. Sums are of integers, as everywhere.

-- One row per model and finished trip.
CREATE VIEW IF NOT EXISTS outcomes AS
SELECT
    c.trip_id,
    m.key AS model,
    (m.value->>'duration_s')::float8 AS predicted_s,
    c.duration_s AS actual_s,
    c.dropped_off_at,
    c.bucket,
    c.window_end,
    c.hour,
    CASE WHEN c.distance_km < 1 THEN 0
         WHEN c.distance_km < 2 THEN 1
         WHEN c.distance_km < 5 THEN 2
         WHEN c.distance_km < 10 THEN 5
         ELSE 10 END AS from_km,
    m.key = p.champion AS champion
FROM completed AS c
JOIN predictions AS p ON p.trip_id = c.trip_id,
LATERAL jsonb_each(p.predictions) AS m(key, value)
WHERE jsonb_typeof(m.value->'duration_s') = 'number'
  AND m.value->>'duration_s' ~ '^[0-9]{1,7}(\.[0-9]{1,30})?(e-[0-9]{1,2})?$';

-- What each of them adds to the sums below: milliseconds, squared seconds, and
-- billionths of the squared difference of the logarithms.
CREATE VIEW IF NOT EXISTS outcome_errors AS
SELECT
    model, bucket, hour, from_km,
    (abs(predicted_s - actual_s) * 1000)::int8 AS abs_ms,
    ((predicted_s - actual_s) * 1000)::int8 AS bias_ms,
    ((predicted_s - actual_s) * (predicted_s - actual_s))::int8 AS squared_s,
    (power(ln(1 + predicted_s) - ln(1 + actual_s), 2) * 1000000000)::int8 AS squared_log
FROM outcomes;

-- Over all trips; by five minutes of the city's clock in which they ended; by hour
-- of the pick-up; and by distance: from so many kilometres to the next of 0, 1, 2,
-- 5 and 10.
CREATE VIEW IF NOT EXISTS model_error_sums AS
SELECT model, count(*)::int8 AS trips, sum(abs_ms)::int8 AS abs_ms, sum(bias_ms)::int8 AS bias_ms,
    sum(squared_s)::int8 AS squared_s, sum(squared_log)::int8 AS squared_log
FROM outcome_errors
GROUP BY 1;

CREATE VIEW IF NOT EXISTS model_errors_5m AS
SELECT model, bucket, count(*)::int8 AS trips, sum(abs_ms)::int8 AS abs_ms, sum(bias_ms)::int8 AS bias_ms,
    sum(squared_s)::int8 AS squared_s, sum(squared_log)::int8 AS squared_log
FROM outcome_errors
GROUP BY 1, 2;

CREATE VIEW IF NOT EXISTS model_errors_by_hour AS
SELECT model, hour, count(*)::int8 AS trips, sum(abs_ms)::int8 AS abs_ms, sum(bias_ms)::int8 AS bias_ms,
    sum(squared_s)::int8 AS squared_s, sum(squared_log)::int8 AS squared_log
FROM outcome_errors
GROUP BY 1, 2;

CREATE VIEW IF NOT EXISTS model_errors_by_distance AS
SELECT model, from_km, count(*)::int8 AS trips, sum(abs_ms)::int8 AS abs_ms, sum(bias_ms)::int8 AS bias_ms,
    sum(squared_s)::int8 AS squared_s, sum(squared_log)::int8 AS squared_log
FROM outcome_errors
GROUP BY 1, 2;

-- Over the hour before each five minutes: a window slides by a bucket. One that
-- ends after the newest bucket is not full yet.
CREATE VIEW IF NOT EXISTS model_errors_1h AS
SELECT model, bucket + k.k * INTERVAL '5 minutes' AS window_end,
    sum(trips)::int8 AS trips, sum(abs_ms)::int8 AS abs_ms, sum(bias_ms)::int8 AS bias_ms,
    sum(squared_s)::int8 AS squared_s, sum(squared_log)::int8 AS squared_log
FROM model_errors_5m
CROSS JOIN generate_series(1, 12) AS k(k)
GROUP BY 1, 2;

-- The same as one reads them. RMSLE is the root of the mean squared difference of
-- ln(1 + seconds).
CREATE VIEW IF NOT EXISTS model_errors AS
SELECT model, trips,
    abs_ms::float8 / trips::float8 / 1000 AS mae_s,
    sqrt(squared_s::float8 / trips::float8) AS rmse_s,
    sqrt(squared_log::float8 / trips::float8 / 1000000000) AS rmsle,
    bias_ms::float8 / trips::float8 / 1000 AS bias_s
FROM model_error_sums;

CREATE VIEW IF NOT EXISTS model_scores_1h AS
SELECT model, window_end, trips,
    abs_ms::float8 / trips::float8 / 1000 AS mae_s,
    sqrt(squared_s::float8 / trips::float8) AS rmse_s,
    sqrt(squared_log::float8 / trips::float8 / 1000000000) AS rmsle,
    bias_ms::float8 / trips::float8 / 1000 AS bias_s
FROM model_errors_1h;

CREATE VIEW IF NOT EXISTS model_scores_by_hour AS
SELECT model, hour, trips,
    abs_ms::float8 / trips::float8 / 1000 AS mae_s,
    sqrt(squared_s::float8 / trips::float8) AS rmse_s,
    sqrt(squared_log::float8 / trips::float8 / 1000000000) AS rmsle,
    bias_ms::float8 / trips::float8 / 1000 AS bias_s
FROM model_errors_by_hour;

CREATE VIEW IF NOT EXISTS model_scores_by_distance AS
SELECT model, from_km, trips,
    abs_ms::float8 / trips::float8 / 1000 AS mae_s,
    sqrt(squared_s::float8 / trips::float8) AS rmse_s,
    sqrt(squared_log::float8 / trips::float8 / 1000000000) AS rmsle,
    bias_ms::float8 / trips::float8 / 1000 AS bias_s
FROM model_errors_by_distance;

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
    min(CASE WHEN below + n >= 0.90 * total THEN lag_ms END) AS p90_ms,
    min(CASE WHEN below + n >= 0.99 * total THEN lag_ms END) AS p99_ms,
    min(CASE WHEN below + n >= 0.999 * total THEN lag_ms END) AS p999_ms,
    max(lag_ms) AS max_ms
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

-- Ends that became no label, and why.
CREATE VIEW IF NOT EXISTS unmatched_drop_offs AS
SELECT
    d.trip_id,
    d.dropped_off_at,
    CASE WHEN t.trip_id IS NULL THEN 'it was never picked up'
         WHEN d.dropped_off_at <= t.picked_up_at THEN 'it ended before it began'
         WHEN d.dropped_off_at > t.picked_up_at + INTERVAL '1 day' THEN 'it took longer than a day'
         ELSE 'it was never predicted' END AS reason
FROM drop_offs AS d
LEFT JOIN trips AS t ON t.trip_id = d.trip_id
LEFT JOIN predictions AS p ON p.trip_id = d.trip_id
WHERE t.trip_id IS NULL
   OR p.trip_id IS NULL
   OR d.dropped_off_at <= t.picked_up_at
   OR d.dropped_off_at > t.picked_up_at + INTERVAL '1 day';

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
