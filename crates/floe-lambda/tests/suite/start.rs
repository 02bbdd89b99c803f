//! What is wrong with the environment is said, and ends the start.

use std::process::Output;

use crate::function::bootstrap;

/// Nobody is there.
const NOWHERE: &str = "127.0.0.1:9";

fn start(variables: &[(&str, &str)]) -> Output {
    let mut bootstrap = bootstrap(NOWHERE);
    bootstrap.envs(variables.iter().copied());
    bootstrap.output().unwrap()
}

#[test]
fn an_environment_that_is_not_valid_is_refused_by_name() {
    const BROKERS: (&str, &str) = ("KAFKA_BROKER_URL", "kafka:9092");
    for (variables, named) in [
        (&[][..], "FLOE_KAFKA__BOOTSTRAP or KAFKA_BROKER_URL has to name brokers"),
        (&[("KAFKA_BROKER_URL", "")], "FLOE_KAFKA__BOOTSTRAP or KAFKA_BROKER_URL has to name brokers"),
        (&[("KAFKA_BROKER_URL", "u:hunter2@kafka:9092")], "KAFKA_BROKER_URL is not valid"),
        (&[BROKERS, ("FLOE_KAFKA__BOOTSTRAP", "kafka")], "FLOE_KAFKA__BOOTSTRAP is not valid"),
        (&[BROKERS, ("FLOE_KAFKA__REPLICATION_FACTOR", "0")], "FLOE_KAFKA__REPLICATION_FACTOR is not valid"),
        (&[BROKERS, ("FLOE_STORE__URL", "hunter2")], "there is no setting FLOE_STORE__URL"),
        (&[BROKERS, ("FLOE_KAFKA__CLIENT__ACKS", "hunter2")], "'acks' can't be set"),
        (&[BROKERS, ("FLOE_KAFKA__CLIENT__SECURITY_PROTOCOL", "hunter2")], "security.protocol"),
    ] {
        let Output { status, stdout, stderr } = start(variables);
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert_eq!(status.code(), Some(1), "{variables:?}: {said}");
        assert!(said.contains(named), "{variables:?}: {said}");
    }
    let secret = start(&[("KAFKA_BROKER_URL", "u:hunter2@kafka:9092")]);
    assert!(!String::from_utf8(secret.stdout).unwrap().contains("hunter2"));
}
