-- Which model is the best at each moment, and what it would have served.
--
-- The best of an hour is not simply the one with the least error: two models that
-- are as good as each other would take turns every five minutes. A model contends
-- while its error over the last hour is within ${best_margin} of the least, and
-- the best is the one that has contended the longest without interruption. So a
-- leader is replaced when it falls behind by more than the margin, and by the
-- model that has proved itself since.

CREATE VIEW IF NOT EXISTS least_errors_1h AS
SELECT window_end, min(mae_s) AS mae_s
FROM model_scores_1h
WHERE trips >= 30
GROUP BY 1;

CREATE VIEW IF NOT EXISTS contenders_1h AS
SELECT
    s.model, s.window_end, s.trips, s.mae_s,
    CASE WHEN s.mae_s <= l.mae_s * (1 + '${best_margin}'::float8) THEN 0 ELSE 1 END AS behind
FROM model_scores_1h AS s
JOIN least_errors_1h AS l ON l.window_end = s.window_end
WHERE s.trips >= 30;

-- How often a model has fallen behind so far numbers its runs. Of two whose runs
-- began at the same time, the one that was better then.
CREATE MATERIALIZED VIEW IF NOT EXISTS best_models AS
WITH runs AS (
    SELECT
        model, window_end, trips, mae_s, behind,
        sum(behind) OVER (PARTITION BY model ORDER BY window_end) AS run
    FROM contenders_1h
), contending AS (
    SELECT
        model, window_end, trips, mae_s,
        min(window_end) OVER (PARTITION BY model, run) AS since,
        first_value(mae_s) OVER (PARTITION BY model, run ORDER BY window_end) AS mae_then
    FROM runs
    WHERE behind = 0
)
SELECT DISTINCT ON (window_end) window_end, model, trips, mae_s, since
FROM contending
ORDER BY window_end, since, mae_then, model;

-- What would have been served, had every trip been answered by the model that was
-- the best in the last closed hour before it started, and what the champion of
-- that moment did serve.
CREATE VIEW IF NOT EXISTS served_predictions AS
SELECT
    o.trip_id, o.dropped_off_at, o.model, b.window_end,
    o.predicted_s, o.actual_s, o.predicted_s - o.actual_s AS error_s,
    c.model AS champion, c.predicted_s AS champion_predicted_s, c.predicted_s - c.actual_s AS champion_error_s
FROM outcomes AS o
JOIN best_models AS b ON b.window_end = o.window_end AND b.model = o.model
JOIN outcomes AS c ON c.trip_id = o.trip_id
WHERE c.champion;

CREATE VIEW IF NOT EXISTS served_error_sums AS
SELECT
    count(*)::int8 AS trips,
    sum((abs(error_s) * 1000)::int8)::int8 AS abs_ms,
    sum((abs(champion_error_s) * 1000)::int8)::int8 AS champion_abs_ms
FROM served_predictions;

-- Is it worth it? The mean error with selection beside the champion's, over the
-- same trips.
CREATE VIEW IF NOT EXISTS served_errors AS
SELECT
    trips,
    abs_ms::float8 / trips::float8 / 1000 AS mae_s,
    champion_abs_ms::float8 / trips::float8 / 1000 AS champion_mae_s
FROM served_error_sums
WHERE trips > 0;
