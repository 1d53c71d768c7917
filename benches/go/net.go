package main

import (
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/soheilhy/cmux"
	"golang.org/x/net/http2"
)

const body = "hello\n"

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.Write([]byte(body))
})

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	return listener
}

// The routes that every multiplexer here has. The clients of these measurements are eager, so the matcher that says nothing works
// for them, and is cmux's cheaper one.
func routes(mux cmux.CMux) (grpc, http1, rest net.Listener) {
	grpc = mux.Match(cmux.HTTP2HeaderField("content-type", "application/grpc"))
	return grpc, mux.Match(cmux.HTTP1Fast()), mux.Match(cmux.Any())
}

// A server of either version of HTTP, alone on its port or behind cmux.
func serve(mode, version string) {
	listener := listen()
	if mode == "direct" {
		if version == "h2c" {
			go serveHTTP2(listener)
		} else {
			go serveHTTP1(listener)
		}
		return
	}
	mux := cmux.New(listener)
	grpc, http1, rest := routes(mux)
	go serveHTTP2(grpc)
	go serveHTTP1(http1)
	go serveHTTP2(rest)
	go mux.Serve()
}

func serveHTTP1(listener net.Listener) {
	log.Fatal((&http.Server{Handler: hello}).Serve(listener))
}

func serveHTTP2(listener net.Listener) {
	server := &http2.Server{}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go server.ServeConn(connection, &http2.ServeConnOpts{Handler: hello})
	}
}

// Answers whatever comes with a few bytes, and holds the connection in a read.
func hold(mode string) {
	listener := listen()
	if mode == "cmux" {
		mux := cmux.New(listener)
		grpc, http1, rest := routes(mux)
		for _, listener := range []net.Listener{grpc, http1, rest} {
			go holdEach(listener)
		}
		go mux.Serve()
		return
	}
	go holdEach(listener)
}

func holdEach(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer connection.Close()
			var request [512]byte
			for {
				if _, err := connection.Read(request[:]); err != nil {
					return
				}
				if _, err := connection.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n")); err != nil {
					return
				}
			}
		}()
	}
}
