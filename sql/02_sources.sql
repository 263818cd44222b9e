-- The topics that are read. Every record is kept apart (ENVELOPE NONE): which
-- of two records with one id counts is decided by the views, not by Kafka.

CREATE SOURCE IF NOT EXISTS pick_ups_raw
FROM KAFKA CONNECTION redpanda (TOPIC 'pick_ups')
KEY FORMAT TEXT
VALUE FORMAT JSON
INCLUDE KEY AS key, PARTITION AS part, OFFSET AS off, TIMESTAMP AS kafka_ts
ENVELOPE NONE;

CREATE SOURCE IF NOT EXISTS drop_offs_raw
FROM KAFKA CONNECTION redpanda (TOPIC 'drop_offs')
KEY FORMAT TEXT
VALUE FORMAT JSON
INCLUDE KEY AS key, PARTITION AS part, OFFSET AS off, TIMESTAMP AS kafka_ts
ENVELOPE NONE;

CREATE SOURCE IF NOT EXISTS predictions_raw
FROM KAFKA CONNECTION redpanda (TOPIC 'predictions')
KEY FORMAT TEXT
VALUE FORMAT JSON
INCLUDE KEY AS key, PARTITION AS part, OFFSET AS off, TIMESTAMP AS kafka_ts
ENVELOPE NONE;
