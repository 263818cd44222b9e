-- A secret of its own, and a broker.
CREATE SECRET IF NOT EXISTS token AS '${token}';

CREATE CONNECTION IF NOT EXISTS redpanda TO KAFKA (
    BROKER '${kafka_broker}'
);
