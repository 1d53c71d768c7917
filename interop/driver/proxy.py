"""Envoy in front of oneport, as a platform's proxy would be: HTTP/2 in the clear on both sides, no retries, and one connection
to its upstream for as long as that one takes requests.
"""

import json
import urllib.request

from peers import ENVOY
from processes import LOGS, Server


class Envoy(Server):
    def __init__(self, name, upstream):
        self.admin = LOGS / f"envoy-{name}.admin"
        self.access = LOGS / f"envoy-{name}.access"
        for left in (self.admin, self.access):
            left.unlink(missing_ok=True)
        config = LOGS / f"envoy-{name}.json"
        LOGS.mkdir(parents=True, exist_ok=True)
        config.write_text(json.dumps(configuration(upstream, str(self.access)), indent=1))
        super().__init__(
            f"envoy-{name}",
            # One worker: each has connections of its own.
            [ENVOY, "-c", config, "--concurrency", 1, "--disable-hot-restart", "-l", "warning", "--admin-address-path", self.admin],
            find=self.find,
        )

    def ask(self, path):
        with urllib.request.urlopen(f"http://{self.admin.read_text().strip()}{path}", timeout=5) as answer:
            return json.load(answer)

    def find(self):
        try:
            status = self.ask("/listeners?format=json")["listener_statuses"][0]
            return "127.0.0.1:{}".format(status["local_address"]["socket_address"]["port_value"])
        except (OSError, ValueError, KeyError, IndexError):
            return None

    def stats(self):
        """The counters of its upstream, by their last word: connections are `upstream_cx_total`."""
        found = self.ask("/stats?format=json&filter=cluster.oneport.")["stats"]
        return {stat["name"].removeprefix("cluster.oneport."): stat["value"] for stat in found if "value" in stat}

    def answers(self):
        """One dict for each request, with `flags` that tell what became of the upstream."""
        return [json.loads(line) for line in self.access.read_text().splitlines()]


def configuration(upstream, access):
    host, _, port = upstream.rpartition(":")

    def typed(name, **more):
        return {"@type": f"type.googleapis.com/envoy.{name}", **more}

    manager = typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="in",
        codec_type="HTTP2",
        route_config={"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "oneport", "timeout": "0s"}}],
        }]},
        http_filters=[{"name": "router", "typed_config": typed("extensions.filters.http.router.v3.Router")}],
        access_log=[{"name": "file", "typed_config": typed(
            "extensions.access_loggers.file.v3.FileAccessLog", path=access,
            log_format={"json_format": {"flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%", "status": "%RESPONSE_CODE%"}},
        )}],
    )
    http2 = typed(
        "extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config={"http2_protocol_options": {"max_concurrent_streams": 100}},
    )

    def local(value):
        return {"socket_address": {"address": "127.0.0.1", "port_value": value}}

    return {
        "admin": {"address": local(0)},
        "static_resources": {
            "listeners": [{
                "name": "in", "address": local(0),
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
            }],
            "clusters": [{
                "name": "oneport", "type": "STATIC", "connect_timeout": "2s",
                "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
                "load_assignment": {"cluster_name": "oneport", "endpoints": [{"lb_endpoints": [
                    {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}},
                ]}]},
            }],
        },
    }
