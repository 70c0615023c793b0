-- A topic of three partitions is one table: where each record lies, and what it says.
SELECT _partition, _offset, _key, id, account, amount FROM transactions ORDER BY _partition, _offset;
