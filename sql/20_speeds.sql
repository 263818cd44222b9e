-- How fast the city moves, from closed buckets of finished trips.
--
-- A bucket is joined only once it can no longer change, so that a feature row,
-- once written, is never written again: a sink over a running average re-emits
-- on every drop-off. Windows are spelled out as rows (bucket k is part of the
-- window that ends k buckets later), which turns every lookup into an equality.
-- Sums are of integers: engines add floats in different orders.

-- By pick-up zone.
CREATE VIEW IF NOT EXISTS zone_speed_5m AS
SELECT zone, bucket, sum(speed)::int8 AS speed_sum, count(*)::int8 AS n
FROM completed
GROUP BY 1, 2;

CREATE VIEW IF NOT EXISTS zone_speed_1h AS
SELECT
    zone,
    bucket + k.k * INTERVAL '5 minutes' AS window_end,
    sum(speed_sum)::int8 AS speed_sum,
    sum(n)::int8 AS n
FROM zone_speed_5m
CROSS JOIN generate_series(1, 12) AS k(k)
GROUP BY 1, 2;

-- The whole city, for zones that have seen too little.
CREATE VIEW IF NOT EXISTS city_speed_5m AS
SELECT bucket, sum(speed_sum)::int8 AS speed_sum, sum(n)::int8 AS n
FROM zone_speed_5m
GROUP BY 1;

CREATE VIEW IF NOT EXISTS city_speed_1h AS
SELECT
    bucket + k.k * INTERVAL '5 minutes' AS window_end,
    sum(speed_sum)::int8 AS speed_sum,
    sum(n)::int8 AS n
FROM city_speed_5m
CROSS JOIN generate_series(1, 12) AS k(k)
GROUP BY 1;

-- By hour of the pick-up, as in the demo. Two parts: the closed days of the last
-- week, and today's closed buckets of the last hour.
CREATE VIEW IF NOT EXISTS hour_speed_day AS
SELECT hour, day, sum(l1_speed)::int8 AS speed_sum, count(*)::int8 AS n
FROM completed
GROUP BY 1, 2;

CREATE VIEW IF NOT EXISTS hour_speed_past AS
SELECT
    hour,
    day + k.k * INTERVAL '1 day' AS window_day,
    sum(speed_sum)::int8 AS speed_sum,
    sum(n)::int8 AS n
FROM hour_speed_day
CROSS JOIN generate_series(1, 7) AS k(k)
GROUP BY 1, 2;

CREATE VIEW IF NOT EXISTS hour_speed_5m AS
SELECT hour, bucket, sum(l1_speed)::int8 AS speed_sum, count(*)::int8 AS n
FROM completed
GROUP BY 1, 2;

CREATE VIEW IF NOT EXISTS hour_speed_today AS
SELECT
    hour,
    bucket + k.k * INTERVAL '5 minutes' AS window_end,
    sum(speed_sum)::int8 AS speed_sum,
    sum(n)::int8 AS n
FROM hour_speed_5m
CROSS JOIN generate_series(1, 12) AS k(k)
WHERE date_trunc('day', bucket + k.k * INTERVAL '5 minutes') = date_trunc('day', bucket)
GROUP BY 1, 2;
