-- Does rain or bad sight delay flights?
SELECT CASE WHEN w.visib < 1 THEN 'under 1 mile' WHEN w.visib < 5 THEN '1 to 5 miles' ELSE 'clear' END AS sight,
       w.precip > 0 AS rain, count(*) AS flights, avg(f.dep_delay) AS delay,
       sum(CASE WHEN f.dep_delay > 60 THEN 1 ELSE 0 END) AS over_an_hour
FROM flights f
JOIN weather w ON w.origin = f.origin AND w.year = f.year AND w.month = f.month AND w.day = f.day AND w.hour = f.hour
GROUP BY 1, 2
ORDER BY 1, 2;
