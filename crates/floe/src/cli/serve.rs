//! `floe serve`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::{
        self, ConfigErrors, Sources,
        given::{Given, Origin, Value},
        print,
    },
    exit,
    output::Output,
    serve,
};

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// The configuration file (./floe.toml, if it is there).
    #[arg(long, env = "FLOE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings in force and where each comes from, and end.
    #[arg(long)]
    print_config: bool,
    /// Where the records are kept [default: ./floe-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where HTTP listens: host:port, port 0 for any free one; repeatable [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    http: Vec<String>,
    /// Keep records in a temporary directory only, which is removed at the end.
    #[arg(long)]
    ephemeral: bool,
    /// Who keeps the records: embedded (this process) or kafka (a cluster).
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
    /// With --engine kafka: brokers to start from, host:port, separated by commas.
    #[arg(long, value_name = "BROKERS")]
    kafka_bootstrap: Option<String>,
    /// What this process does: http (the records and their doors), pipelines, and of the chat its producer, consumer and gateway
    /// (doors) and its workers (chat); all unless said otherwise. With pipelines or chat alone it works on the records of
    /// --server, or of the cluster.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    services: Vec<String>,
    /// With --services pipelines or chat: the node whose records are worked on [default: http://127.0.0.1:8080].
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// How lines of the log look: text or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Which lines are logged: error, warn, info, debug, trace, or directives.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Listen beyond this machine though nobody has to show a key.
    #[arg(long)]
    insecure_listen: bool,
    /// A name besides loopback's own that the Host header may have; repeatable.
    #[arg(long, value_name = "NAME")]
    allowed_host: Vec<String>,
    /// An origin whose pages may call, such as https://app.example; repeatable.
    #[arg(long, value_name = "ORIGIN")]
    allowed_origin: Vec<String>,
}

impl ServeArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let sources = Sources {
            file: self.config.clone(),
            variables: std::env::vars_os().filter_map(text_pair).collect(),
            flags: self.flags(),
        };
        let loaded = config::load(sources).map_err(ConfigErrors::into_usage)?;
        if self.print_config {
            let mut out = Output::stdout();
            out.data(print::to_toml(&loaded).as_bytes())?;
            return Ok(out.flush()?);
        }
        serve::serve(loaded).await
    }

    /// The flags that were given, as settings.
    fn flags(&self) -> Vec<Given> {
        let text = |value: &Option<String>| value.clone().map(Value::Text);
        let list = |values: &[String]| (!values.is_empty()).then(|| Value::List(values.to_vec()));
        let on = |given: bool| given.then_some(Value::Bool(true));
        let flags = [
            ("data_dir", "--data-dir", text(&self.data_dir)),
            ("http.addr", "--http", list(&self.http)),
            ("ephemeral", "--ephemeral", on(self.ephemeral)),
            ("engine", "--engine", text(&self.engine)),
            ("kafka.bootstrap", "--kafka-bootstrap", text(&self.kafka_bootstrap)),
            ("services", "--services", list(&self.services)),
            ("server.url", "--server", text(&self.server)),
            ("log.format", "--log-format", text(&self.log_format)),
            ("log.level", "--log-level", text(&self.log_level)),
            ("http.insecure_listen", "--insecure-listen", on(self.insecure_listen)),
            ("http.allowed_hosts", "--allowed-host", list(&self.allowed_host)),
            ("http.allowed_origins", "--allowed-origin", list(&self.allowed_origin)),
        ];
        let given = flags.into_iter().filter_map(|(path, flag, value)| {
            Some(Given { path: path.to_owned(), value: value?, origin: Origin::Flag(flag) })
        });
        given.collect()
    }
}

/// A variable whose name and value are text; a name of ours with another value is kept, so that it is refused by name.
fn text_pair((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
}

impl ConfigErrors {
    /// All that is wrong as one error of usage.
    pub(crate) fn into_usage(self) -> anyhow::Error {
        exit::usage(self.0.join("\n"))
    }
}
