-- Where the events are. The name is the demo's; any Kafka broker will do.
CREATE CONNECTION IF NOT EXISTS redpanda TO KAFKA (
    BROKER '${kafka_broker}',
    SECURITY PROTOCOL = 'PLAINTEXT'
);
