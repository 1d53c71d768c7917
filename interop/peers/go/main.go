// The Go peers of the interop suite: grpc-go and golang.org/x/net/http2 as
// backends and clients, an HTTP/1-only and a TLS server, and the relay that
// cuts, delays and counts.
//
//	peers serve KIND [ADDR]      prints "listening on ADDR"; ends when stdin does
//	peers client KIND ADDR SCENARIO… [idle=SECONDS]
//	peers fresh KIND N ADDR ADDR…    time to first response of fresh connections
//	peers relay [flags]          see relay.go
//	peers mix [flags]            gRPC and plain requests at once, see mix.go
//	peers versions
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fail("no subcommand")
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "serve":
		need(args, 1)
		serve(args[0], listen(args[1:]...))
	case "client":
		need(args, 3)
		client(args[0], args[1], args[2:])
	case "fresh":
		need(args, 3)
		fresh(args[0], args[1], args[2:])
	case "relay":
		relay(args)
	case "mix":
		mix(args)
	case "versions":
		versions()
	default:
		fail("unknown subcommand " + os.Args[1])
	}
}

// scenario does what its name says against a server and tells what it saw.
type scenario func(addr string, idle time.Duration) (obs any, ok bool)

func client(kind, addr string, names []string) {
	table, found := map[string]map[string]scenario{
		"grpc-go":  grpcScenarios,
		"net-http": httpScenarios,
	}[kind]
	if !found {
		fail("unknown client " + kind)
	}
	idle := 11 * time.Second
	for _, name := range names {
		if seconds, isIdle := strings.CutPrefix(name, "idle="); isIdle {
			value, err := strconv.ParseFloat(seconds, 64)
			check(err)
			idle = time.Duration(value * float64(time.Second))
			continue
		}
		run, found := table[name]
		if !found {
			fail("unknown scenario " + name)
		}
		obs, ok := run(addr, idle)
		check(json.NewEncoder(os.Stdout).Encode(map[string]any{"scenario": name, "ok": ok, "obs": obs}))
	}
}

// fresh takes the addresses in turn, so that what disturbs one disturbs all.
func fresh(kind, count string, addrs []string) {
	n, err := strconv.Atoi(count)
	check(err)
	first := map[string]func(string) error{"grpc-go": grpcFirst, "net-http": httpFirst}[kind]
	millis := make([][]float64, len(addrs))
	for range n {
		for i, addr := range addrs {
			begin := time.Now()
			check(first(addr))
			millis[i] = append(millis[i], float64(time.Since(begin).Microseconds())/1000)
		}
	}
	check(json.NewEncoder(os.Stdout).Encode(millis))
}

func versions() {
	found := map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go")}
	info, _ := debug.ReadBuildInfo()
	for _, dep := range info.Deps {
		found[dep.Path] = strings.TrimPrefix(dep.Version, "v")
	}
	check(json.NewEncoder(os.Stdout).Encode(found))
}

// listen opens a port of the system's choice, or the one that a server had
// which is started again, and tells the driver which.
func listen(addr ...string) net.Listener {
	listener, err := net.Listen("tcp", append(addr, "127.0.0.1:0")[0])
	check(err)
	fmt.Printf("listening on %s\n", listener.Addr())
	return listener
}

// untilStdinEnds keeps a server from outliving its driver.
func untilStdinEnds() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func need(args []string, n int) {
	if len(args) < n {
		fail("too few arguments")
	}
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(reason string) {
	fmt.Fprintln(os.Stderr, "peers: "+reason)
	os.Exit(2)
}
