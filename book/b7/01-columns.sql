-- Which columns are there, and of what type?
SELECT column_name, data_type
FROM information_schema.columns
WHERE table_name = 'trips.clean' AND NOT starts_with(column_name, '_')
ORDER BY ordinal_position;
