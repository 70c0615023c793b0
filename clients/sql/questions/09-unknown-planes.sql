-- Flights of planes that nobody has registered.
SELECT f.carrier, count(*) AS flights, count(DISTINCT f.tailnum) AS planes
FROM flights f
WHERE f.tailnum IS NOT NULL AND NOT EXISTS (SELECT 1 FROM planes p WHERE p.tailnum = f.tailnum)
GROUP BY f.carrier
ORDER BY flights DESC, f.carrier;
