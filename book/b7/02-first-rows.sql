-- The first five rows, with the columns of the contract.
SELECT month, trip_id, vehicle_id, started_at, ended_at, duration_s, start_location_name, end_location_name, street, user_id,
       trip_ledger_id
FROM "trips.clean"
ORDER BY trip_id
LIMIT 5;
