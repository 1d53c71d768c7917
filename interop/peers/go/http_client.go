package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

var httpScenarios = map[string]scenario{
	"one": func(addr string, _ time.Duration) (any, bool) {
		web := dialHttp(addr)
		defer web.CloseIdleConnections()
		seen := web.get("/hello")
		return seen, seen.Status == 200 && seen.Sha == sha([]byte("hello\n"))
	},
	"many": func(addr string, _ time.Duration) (any, bool) {
		web := dialHttp(addr)
		defer web.CloseIdleConnections()
		distinct := map[string]int{}
		for range 200 {
			seen := web.get("/hello")
			distinct[fmt.Sprintf("status %d, body %s", seen.Status, seen.Sha)]++
		}
		ok := distinct["status 200, body "+sha([]byte("hello\n"))] == 200
		return []any{distinct, web.dials.Load()}, ok && web.dials.Load() == 1
	},
	"bidi": func(addr string, _ time.Duration) (any, bool) {
		web := dialHttp(addr)
		defer web.CloseIdleConnections()
		return web.bidi()
	},
	"big": func(addr string, _ time.Duration) (any, bool) {
		web := dialHttp(addr)
		defer web.CloseIdleConnections()
		up := web.do("POST", "/echo", bytes.NewReader(pattern(bigBody)))
		down := web.get("/big")
		want := sha(pattern(bigBody))
		return []response{up, down}, up.Sha == want && down.Sha == want
	},
	"ends": func(addr string, _ time.Duration) (any, bool) {
		web := dialHttp(addr)
		defer web.CloseIdleConnections()
		missing, cut := web.get("/missing"), web.get("/cut")
		// How much of a cut body arrives before the cut is a race.
		cut.Sha = ""
		return []response{missing, cut}, missing.Status == 404
	},
	"idle": func(addr string, idle time.Duration) (any, bool) {
		web := dialHttp(addr)
		defer web.CloseIdleConnections()
		before := web.get("/hello")
		time.Sleep(idle)
		after := web.get("/hello")
		return []any{before, after, web.dials.Load()}, before.Status == 200 && after.Status == 200 && web.dials.Load() == 1
	},
	"refused": func(addr string, _ time.Duration) (any, bool) {
		web := dialHttp(addr)
		defer web.CloseIdleConnections()
		begin := time.Now()
		seen := web.get("/hello")
		return refused(fmt.Sprint(seen.Status), begin, nil)
	},
	"refused-then-served": func(addr string, _ time.Duration) (any, bool) {
		web := dialHttp(addr)
		defer web.CloseIdleConnections()
		begin := time.Now()
		seen := web.get("/hello")
		return refused(fmt.Sprint(seen.Status), begin, func() string { return fmt.Sprint(web.get("/echo").Status) })
	},
	"burst": func(addr string, _ time.Duration) (any, bool) {
		seen := make([]response, 20)
		var all sync.WaitGroup
		for i := range seen {
			all.Go(func() {
				web := dialHttp(addr)
				defer web.CloseIdleConnections()
				seen[i] = web.get("/hello")
			})
		}
		all.Wait()
		ok := true
		for _, one := range seen {
			ok = ok && one.Status == 200
		}
		return seen, ok
	},
}

// response is what a client may observe of one request.
type response struct {
	Status   int      `json:"status"`
	Proto    string   `json:"proto"`
	Headers  []string `json:"headers"`
	Trailers []string `json:"trailers"`
	Sha      string   `json:"sha"`
	End      string   `json:"end"`
}

type web struct {
	*http.Client
	addr  string
	dials atomic.Int32
}

// dialHttp makes a client of its own connections: HTTP/2 with prior knowledge,
// with a PING after three seconds without a frame.
func dialHttp(addr string) *web {
	w := &web{addr: addr}
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	w.Client = &http.Client{Timeout: limit, Transport: &http.Transport{
		Protocols: protocols,
		HTTP2:     &http.HTTP2Config{SendPingTimeout: 3 * time.Second},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			w.dials.Add(1)
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}}
	return w
}

func (w *web) get(path string) response { return w.do("GET", path, nil) }

func (w *web) do(method, path string, body io.Reader) response {
	request, err := http.NewRequest(method, "http://"+w.addr+path, body)
	check(err)
	answer, err := w.Do(request)
	if err != nil {
		return response{End: "no response"}
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	seen := response{Status: answer.StatusCode, Proto: answer.Proto, Headers: lines(answer.Header), Trailers: lines(answer.Trailer), Sha: sha(content), End: "whole"}
	if err != nil {
		seen.End = "cut"
	}
	return seen
}

// bidi sends each piece only when the one before has come back, unless the
// server answers only whole requests: then it sends all and reads afterwards.
func (w *web) bidi() (any, bool) {
	reader, writer := io.Pipe()
	request, err := http.NewRequest("POST", "http://"+w.addr+"/echo", reader)
	check(err)
	pieces := make(chan []byte, 64)
	go func() {
		answer, err := w.Do(request)
		if err != nil {
			_ = reader.CloseWithError(err)
			close(pieces)
			return
		}
		defer answer.Body.Close()
		for {
			piece := make([]byte, 64<<10)
			n, err := answer.Body.Read(piece)
			if n > 0 {
				pieces <- piece[:n]
			}
			if err != nil {
				close(pieces)
				return
			}
		}
	}()
	var sent, back []byte
	duplex := true
	for i := range 20 {
		piece := pattern(1000 + i)
		sent = append(sent, piece...)
		if _, err := writer.Write(piece); err != nil {
			break
		}
		late := time.After(2 * time.Second)
		for duplex && len(back) < len(sent) {
			select {
			case piece, open := <-pieces:
				back = append(back, piece...)
				duplex = open
			case <-late:
				duplex = false
			}
		}
	}
	_ = writer.Close()
	for piece := range pieces {
		back = append(back, piece...)
	}
	whole := bytes.Equal(sent, back)
	return map[string]any{"duplex": duplex, "whole": whole}, whole
}

func httpFirst(addr string) error {
	w := dialHttp(addr)
	defer w.CloseIdleConnections()
	if seen := w.get("/hello"); seen.Status != 200 {
		return fmt.Errorf("status %d", seen.Status)
	}
	return nil
}
