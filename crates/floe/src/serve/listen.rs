//! The ports: taken before anything else is started, each error naming its listener.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use crate::{
    config::settings::{HttpSettings, ListenPolicy},
    output::shown,
};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Takes all ports, or none.
pub(super) async fn bind(http: &HttpSettings) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in &http.addr {
        let name = shown(address);
        let resolved: Vec<_> = lookup_host(address)
            .await
            .with_context(|| format!("http {name}: the name does not resolve"))?
            .collect();
        let Some(first) = resolved.first() else { bail!("http {name}: the name has no address") };
        // A name such as localhost may stand for an IPv4 and an IPv6 address: the first one that can be had is it.
        let mut refused = None;
        let mut bound = None;
        for candidate in &resolved {
            allow(*candidate, http.listen, &name)?;
            match listen(*candidate) {
                Ok(listener) => {
                    bound = Some(listener);
                    break;
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match (bound, refused) {
            (Some(listener), _) => listeners.push(listener),
            (None, Some(error)) => {
                return Err(error).with_context(|| format!("http {name}: cannot listen on {first}"));
            }
            (None, None) => bail!("http {name}: the name has no address"),
        }
    }
    Ok(listeners)
}

fn allow(address: SocketAddr, policy: ListenPolicy, name: &str) -> anyhow::Result<()> {
    if address.ip().is_loopback() || policy == ListenPolicy::Anywhere {
        return Ok(());
    }
    bail!(
        "http {name}: refusing to listen beyond this machine, because no keys are configured and everybody who reaches \
         the port could read and write everything; --insecure-listen does it all the same"
    )
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted server must not wait for the connections of the one before to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(addr: &[&str], listen: ListenPolicy) -> HttpSettings {
        let addr = addr.iter().map(|addr| (*addr).to_owned()).collect();
        HttpSettings { addr, listen, ..crate::config::settings::Settings::default().http }
    }

    async fn refused(addr: &[&str], listen: ListenPolicy) -> String {
        format!("{:#}", bind(&http(addr, listen)).await.unwrap_err())
    }

    #[tokio::test]
    async fn a_free_port_is_found_and_a_taken_one_named() {
        let taken = bind(&http(&["127.0.0.1:0", "localhost:0"], ListenPolicy::LoopbackOnly)).await.unwrap();
        let address = taken[0].local_addr().unwrap().to_string();
        assert_ne!(taken[0].local_addr().unwrap().port(), 0);
        let error = refused(&[&address], ListenPolicy::LoopbackOnly).await;
        assert!(error.contains(&format!("http {address}: cannot listen")), "{error}");
    }

    #[tokio::test]
    async fn listening_beyond_this_machine_has_to_be_asked_for() {
        for address in ["0.0.0.0:0", "[::]:0"] {
            let error = refused(&[address], ListenPolicy::LoopbackOnly).await;
            assert!(error.contains(address) && error.contains("--insecure-listen"), "{error}");
        }
        assert_eq!(bind(&http(&["0.0.0.0:0"], ListenPolicy::Anywhere)).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_said_to_be_none() {
        let error = refused(&["no.such.name.invalid:0"], ListenPolicy::LoopbackOnly).await;
        assert!(error.contains("http no.such.name.invalid:0: the name does not resolve"), "{error}");
    }
}
