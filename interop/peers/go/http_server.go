package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

func serve(kind string, listener net.Listener) {
	go untilStdinEnds()
	switch kind {
	case "grpc-go":
		serveGrpc(listener)
	case "x-net":
		check((&http.Server{Handler: h2c.NewHandler(http.HandlerFunc(handle), &http2.Server{})}).Serve(listener))
	case "late-ack":
		serveLateAck(listener)
	case "http1":
		check((&http.Server{Handler: http.HandlerFunc(handle)}).Serve(listener))
	case "tls":
		server := http.Server{Handler: http.HandlerFunc(handle), TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{selfSigned()}, NextProtos: []string{"h2", "http/1.1"},
		}}
		check(server.ServeTLS(listener, "", ""))
	default:
		fail("unknown server " + kind)
	}
}

// beforeCut lets the client read what came before the cut.
const beforeCut = 50 * time.Millisecond

// handle is the small web server that all HTTP backends imitate. A gRPC call is
// answered too: an echo of the body is an echo of its messages.
func handle(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		handleGrpc(w, r)
		return
	}
	w.Header().Set("X-Peer", "rest")
	switch r.URL.Path {
	case "/hello":
		_, _ = io.WriteString(w, "hello\n")
	case "/big":
		_, _ = w.Write(pattern(bigBody))
	case "/echo":
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Content-Type", "application/octet-stream")
		echo(w, r.Body)
	case "/cut": // promises more than it gives, then breaks off
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(pattern(1000))
		_ = http.NewResponseController(w).Flush()
		time.Sleep(beforeCut)
		panic(http.ErrAbortHandler)
	default:
		http.NotFound(w, r)
	}
}

func handleGrpc(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	status := "0"
	switch r.URL.Path {
	case failMethod:
		w.Header().Set("Grpc-Status", "9")
		w.Header().Set("Grpc-Message", "as asked")
		w.Header().Set("X-Trailer", "end")
		return
	case healthMethod, unaryMethod, bidiMethod, hangMethod:
		w.Header().Set("X-Peer", "echo")
		w.Header().Set("Trailer", "Grpc-Status, X-Trailer")
	}
	switch r.URL.Path {
	case healthMethod:
		_, _ = w.Write([]byte{0, 0, 0, 0, 2, 0x08, 0x01})
	case hangMethod:
		<-r.Context().Done()
	case unaryMethod, bidiMethod:
		echo(w, r.Body)
	default:
		w.Header().Set("Grpc-Status", "12")
		return
	}
	w.Header().Set("Grpc-Status", status)
	w.Header().Set("X-Trailer", "end")
}

func echo(w http.ResponseWriter, body io.Reader) {
	flush := http.NewResponseController(w)
	_ = flush.Flush() // a client of a stream may wait for the head
	chunk := make([]byte, 64<<10)
	for {
		n, err := body.Read(chunk)
		if _, failed := w.Write(chunk[:n]); failed != nil || err != nil {
			return
		}
		_ = flush.Flush()
	}
}

// serveLateAck is x/net/http2 that acknowledges SETTINGS only with its first
// response, as C-core does.
func serveLateAck(listener net.Listener) {
	server := &http2.Server{}
	for {
		conn, err := listener.Accept()
		check(err)
		late := &lateAck{Conn: conn}
		go server.ServeConn(late, &http2.ServeConnOpts{Handler: http.HandlerFunc(handle)})
	}
}

func selfSigned() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "interop.test"},
		DNSNames:     []string{"interop.test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
