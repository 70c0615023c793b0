-- Flights of each day, and their average over a week.
SELECT month, day, count(*) AS flights,
       avg(count(*)) OVER (ORDER BY month, day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS week
FROM flights
GROUP BY month, day
ORDER BY month, day;
