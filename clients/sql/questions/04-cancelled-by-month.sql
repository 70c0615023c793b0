-- When are flights cancelled?
SELECT month, count(*) AS planned,
       count(*) FILTER (WHERE dep_time IS NULL) AS cancelled,
       100.0 * count(*) FILTER (WHERE dep_time IS NULL) / count(*) AS percent
FROM flights
GROUP BY month
ORDER BY month;
