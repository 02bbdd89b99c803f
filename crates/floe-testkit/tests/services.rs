//! The services that tests start: there, killed, there again, and gone.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

use floe_testkit::services::{Kafka, Postgres, Proxy, Redis, Traffic};

fn ask_redis(port: u16) -> std::io::Result<[u8; 7]> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[test]
fn postgres_keeps_what_was_committed_through_kills() {
    let postgres = Postgres::start();
    let url = postgres.database();
    postgres.query(&url, "CREATE TABLE t (n int)");
    for kills in 0..2 {
        postgres.query(&url, "INSERT INTO t SELECT generate_series(1, 10)");
        postgres.kill();
        assert!(postgres.try_query(&url, "SELECT 1").is_err());
        postgres.restart();
        assert_eq!(
            postgres.query(&url, "SELECT count(*), max(n) FROM t"),
            format!("{}|10", (kills + 1) * 10)
        );
    }
}

#[test]
fn databases_of_the_shared_server_are_their_own() {
    let (one, two) = (Postgres::shared(), Postgres::shared());
    let (a, b) = (one.database(), two.database());
    one.query(&a, "CREATE TABLE t (n int)");
    assert!(two.try_query(&b, "SELECT * FROM t").is_err());
    assert_eq!(one.port(), two.port());
}

#[test]
fn redis_is_empty_after_a_kill() {
    let redis = Redis::start();
    assert_eq!(&ask_redis(redis.port()).unwrap(), b"+PONG\r\n");
    redis.kill();
    assert!(ask_redis(redis.port()).is_err());
    redis.restart();
    assert_eq!(&ask_redis(redis.port()).unwrap(), b"+PONG\r\n");
}

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

fn create_topic(kafka: &Kafka, bootstrap: &str, topic: &str) {
    kafka.tool(TOPICS, &["--bootstrap-server", bootstrap, "--create", "--topic", topic, "--partitions", "2"]);
}

fn topics(kafka: &Kafka) -> Vec<String> {
    let listed = kafka.tool(TOPICS, &["--bootstrap-server", &kafka.bootstrap(), "--list"]);
    listed.lines().map(str::to_owned).collect()
}

/// Whether the answer to a question about versions begins to arrive within this time.
fn answers(stream: &mut TcpStream, within: Duration) -> bool {
    stream.set_read_timeout(Some(within)).unwrap();
    match stream.read_exact(&mut [0; 4]) {
        Ok(()) => true,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            false
        }
    }
}

/// `ApiVersions`, version 0.
const VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF];

fn goes_on_after_kills_and_pauses(kafka: &Kafka) {
    create_topic(kafka, &kafka.bootstrap(), "kept");
    assert_eq!(topics(kafka), ["kept"]);
    for _ in 0..2 {
        kafka.kill();
        assert!(TcpStream::connect(("127.0.0.1", kafka.port())).is_err());
        kafka.restart();
        assert_eq!(topics(kafka), ["kept"]);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", kafka.port())).unwrap();
    kafka.pause();
    stream.write_all(&VERSIONS).unwrap();
    assert!(!answers(&mut stream, Duration::from_millis(200)));
    kafka.resume();
    assert!(answers(&mut stream, Duration::from_secs(30)));
    kafka.pause();
    kafka.kill();
}

#[test]
fn kafka_with_kraft_keeps_its_topics_through_kills() {
    goes_on_after_kills_and_pauses(&Kafka::start_kraft());
}

#[test]
fn kafka_with_zookeeper_keeps_its_topics_through_kills() {
    goes_on_after_kills_and_pauses(&Kafka::start_zookeeper());
}

#[test]
fn settings_of_a_test_win() {
    let kafka = Kafka::start_kraft_with(&[("num.partitions", "3"), ("auto.create.topics.enable", "true")]);
    let bootstrap = kafka.bootstrap();
    kafka.tool(TOPICS, &["--bootstrap-server", &bootstrap, "--create", "--topic", "t"]);
    let described = kafka.tool(TOPICS, &["--bootstrap-server", &bootstrap, "--describe", "--topic", "t"]);
    assert!(described.contains("PartitionCount: 3"), "{described}");
}

#[test]
fn the_shared_kafka_is_one() {
    let (one, two) = (Kafka::shared(), Kafka::shared());
    assert_eq!(one.bootstrap(), two.bootstrap());
}

#[test]
fn clients_of_a_kafka_behind_a_proxy_stay_behind_it() {
    let (kafka, proxy) = Kafka::start_kraft_behind_proxy(&[]);
    create_topic(&kafka, &format!("127.0.0.1:{}", proxy.port()), "through");
    // one connection to begin with, and one to the broker that it was told of
    assert_eq!(proxy.seen(), 2);
    assert_eq!(topics(&kafka), ["through"]);
    assert_eq!(proxy.seen(), 2);
}

/// Answers each byte with itself.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    port
}

fn say(stream: &mut TcpStream, text: &str) -> std::io::Result<String> {
    stream.write_all(text.as_bytes())?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn a_proxy_passes_on_cuts_and_refuses() {
    let proxy = Proxy::to(echo());
    let connect = || TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    let mut stream = connect();
    assert_eq!(say(&mut stream, "one").unwrap(), "one");
    proxy.cut();
    assert!(say(&mut stream, "two").is_err());
    let mut stream = connect();
    assert_eq!(say(&mut stream, "three").unwrap(), "three");
    proxy.set(Traffic::Refused);
    assert!(say(&mut stream, "four").is_err());
    assert!(say(&mut connect(), "five").is_err());
    proxy.set(Traffic::Flows);
    assert_eq!(say(&mut connect(), "six").unwrap(), "six");
}

#[test]
fn a_proxy_holds_bytes_back_until_it_flows_again() {
    let proxy = Proxy::to(echo());
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    proxy.set(Traffic::Stands);
    stream.write_all(b"later").unwrap();
    stream.set_nonblocking(true).unwrap();
    assert!(stream.read(&mut [0; 5]).is_err());
    stream.set_nonblocking(false).unwrap();
    proxy.set(Traffic::Flows);
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"later");
}

#[test]
fn an_answer_is_lost_on_its_way_back_and_only_that_one() {
    let proxy = Proxy::to(echo());
    let connect = || TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    let mut stream = connect();
    proxy.lose_answer_to(b"COMMIT");
    assert_eq!(say(&mut stream, "BEGIN").unwrap(), "BEGIN");
    assert!(say(&mut stream, "the COMMIT").is_err());
    assert_eq!((proxy.lost(), say(&mut connect(), "COMMIT").unwrap().as_str()), (1, "COMMIT"));
}

#[test]
fn nothing_is_left_of_a_server_that_was_dropped() {
    let postgres = Postgres::start();
    let files = postgres.query(&postgres.url(), "SHOW data_directory");
    assert!(Path::new(&files).exists());
    drop(postgres);
    assert!(!Path::new(&files).exists());
}
