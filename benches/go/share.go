package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/soheilhy/cmux"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// share serves calls and REST in one program, in the ways that there are in Go.
func share(mode string) {
	calls := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(calls, health.NewServer())
	rest := http.NewServeMux()
	rest.Handle("/hello", hello)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	switch mode {
	case "handler": // one server of HTTP/2, which hands calls to grpc-go as a handler
		fmt.Println("listening on", listener.Addr())
		go serveREST(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
				calls.ServeHTTP(w, r)
			} else {
				rest.ServeHTTP(w, r)
			}
		}))
	case "cmux", "cmux-send": // by connections; silently, or with SETTINGS for clients that wait
		fmt.Println("listening on", listener.Addr())
		mux := cmux.New(listener)
		var toCalls net.Listener
		if mode == "cmux" {
			toCalls = mux.Match(cmux.HTTP2HeaderFieldPrefix("content-type", "application/grpc"))
		} else {
			toCalls = mux.MatchWithWriters(cmux.HTTP2MatchHeaderFieldPrefixSendSettings("content-type", "application/grpc"))
		}
		toREST := mux.Match(cmux.Any())
		go calls.Serve(toCalls)
		go serveREST(toREST, rest)
		go mux.Serve()
	case "ports":
		second, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("listening on %s,%s\n", listener.Addr(), second.Addr())
		go calls.Serve(listener)
		go serveREST(second, rest)
	default:
		log.Fatalf("no such way: %s", mode)
	}
}

// serveREST speaks both versions of HTTP without TLS.
func serveREST(listener net.Listener, handler http.Handler) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	log.Fatal((&http.Server{Handler: handler, Protocols: protocols}).Serve(listener))
}
