package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// The service of the mix: only the gRPC backend knows it, so that a call which
// went to the other backend can not look right. Its messages are opaque bytes.
const (
	mixUnary = "/oneport.interop.Mix/Unary" // an echo
	mixCount = "/oneport.interop.Mix/Count" // as many messages as the request says
	mixSum   = "/oneport.interop.Mix/Sum"   // the hash of all messages
	mixBidi  = "/oneport.interop.Mix/Bidi"  // an echo of each
)

// answerMix is the backend's side of a mix call.
func answerMix(method string, stream grpc.ServerStream) error {
	var message, all []byte
	for {
		err := stream.RecvMsg(&message)
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		switch method {
		case mixSum:
			all = append(all, message...)
		case mixCount:
			count, _ := strconv.Atoi(string(message))
			for i := range count {
				piece := pattern(500 + i)
				if err := stream.SendMsg(&piece); err != nil {
					return err
				}
			}
		default:
			if err := stream.SendMsg(&message); err != nil {
				return err
			}
		}
	}
	if method == mixSum {
		sum := []byte(sha(all))
		return stream.SendMsg(&sum)
	}
	return nil
}

// outcome is how one request ended: "ok", "wrong: …", or its status.
type outcome struct {
	Kind  string `json:"kind"`
	Told  string `json:"told"`
	Begin int64  `json:"begin"` // Unix milliseconds
	End   int64  `json:"end"`
}

const ok = "ok"

type mixer struct {
	grpc *grpc.ClientConn
	web  *web
}

type kind struct {
	name string
	do   func(mixer) string
}

// kinds are what a worker does in turn. The slow ones are in progress for about
// a second, so that whatever happens meets some of them half way.
var kinds = []kind{
	{"unary", func(m mixer) string { return m.call(mixUnary, [][]byte{[]byte("unary")}, [][]byte{[]byte("unary")}, 0) }},
	{"GET", func(m mixer) string { return m.request("GET", "/hello", nil, []byte("hello\n")) }},
	{"server streaming", func(m mixer) string {
		var want [][]byte
		for i := range 20 {
			want = append(want, pattern(500+i))
		}
		return m.call(mixCount, [][]byte{[]byte("20")}, want, 0)
	}},
	{"client streaming", func(m mixer) string {
		pieces := [][]byte{pattern(1), pattern(2000), pattern(30000)}
		return m.call(mixSum, pieces, [][]byte{[]byte(sha(bytes.Join(pieces, nil)))}, 0)
	}},
	{"POST", func(m mixer) string {
		return m.request("POST", "/echo", bytes.NewReader(pattern(20000)), pattern(20000))
	}},
	{"bidirectional", func(m mixer) string { return m.call(mixBidi, texts, texts, 0) }},
}

var slow = []kind{
	{"slow bidirectional", func(m mixer) string { return m.call(mixBidi, texts, texts, 100*time.Millisecond) }},
	{"slow POST", func(m mixer) string {
		body := &paced{pieces: texts, pause: 100 * time.Millisecond}
		return m.request("POST", "/echo", body, bytes.Join(texts, nil))
	}},
}

var texts = func() (out [][]byte) {
	for i := range 10 {
		out = append(out, []byte(fmt.Sprintf("message %d", i)))
	}
	return
}()

// mix sends requests of all kinds through one gRPC channel and one HTTP/2 client
// at once, and prints how each ended and when.
func mix(args []string) {
	flags := flag.NewFlagSet("mix", flag.ExitOnError)
	addr := flags.String("addr", "", "where to")
	workers := flags.Int("workers", 32, "requests at a time")
	crawlers := flags.Int("slow", 0, "slow requests at a time, beside them")
	duration := flags.Duration("for", 5*time.Second, "how long new requests are begun")
	pause := flags.Duration("pause", 0, "of each worker, after each request")
	check(flags.Parse(args))
	m := mixer{dialGrpc(*addr), dialHttp(*addr)}
	var lock sync.Mutex
	outcomes := []outcome{}
	until := time.Now().Add(*duration)
	var all sync.WaitGroup
	worker := func(first int, list []kind) {
		for n := first; time.Now().Before(until); n++ {
			kind := list[n%len(list)]
			begin := time.Now()
			told := kind.do(m)
			lock.Lock()
			outcomes = append(outcomes, outcome{kind.name, told, begin.UnixMilli(), time.Now().UnixMilli()})
			lock.Unlock()
			if told != ok { // a backend that is down answers fast
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(*pause)
		}
	}
	for i := range *workers {
		all.Go(func() { worker(i, kinds) })
	}
	for i := range *crawlers {
		all.Go(func() { worker(i, slow) })
	}
	all.Wait()
	check(json.NewEncoder(os.Stdout).Encode(outcomes))
}

// call sends the pieces, with a pause after each, and wants the answers.
func (m mixer) call(method string, pieces, want [][]byte, pause time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	stream, err := m.grpc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return told(err)
	}
	go func() {
		for _, piece := range pieces {
			if stream.SendMsg(&piece) != nil {
				return // the status is with RecvMsg
			}
			time.Sleep(pause)
		}
		_ = stream.CloseSend()
	}()
	for i := 0; ; i++ {
		var answer []byte
		if err := stream.RecvMsg(&answer); err == io.EOF {
			if i != len(want) {
				return fmt.Sprintf("wrong: %d messages of %d", i, len(want))
			}
			return ok
		} else if err != nil {
			if head, _ := stream.Header(); len(head.Get("x-peer")) > 0 { // the answer had begun
				return "broken off: " + told(err)
			}
			return told(err)
		}
		if i >= len(want) || !bytes.Equal(answer, want[i]) {
			return "wrong: another message"
		}
	}
}

func told(err error) string { return fmt.Sprintf("code %d", status.Code(err)) }

func (m mixer) request(method, path string, body io.Reader, want []byte) string {
	request, err := http.NewRequest(method, "http://"+m.web.addr+path, body)
	check(err)
	answer, err := m.web.Do(request)
	if err != nil {
		return "no response"
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	switch {
	case answer.StatusCode != 200:
		return fmt.Sprintf("status %d", answer.StatusCode)
	case err != nil:
		return "broken off"
	case answer.Header.Get("X-Peer") != "rest" || !bytes.Equal(content, want):
		return "wrong: another body"
	}
	return ok
}

// paced is a body that comes in pieces.
type paced struct {
	pieces [][]byte
	pause  time.Duration
	next   int
}

func (p *paced) Read(into []byte) (int, error) {
	if p.next == len(p.pieces) {
		return 0, io.EOF
	}
	time.Sleep(p.pause)
	n := copy(into, p.pieces[p.next])
	p.next++
	return n, nil
}
