package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The service that all gRPC peers speak; its messages are opaque bytes.
const (
	healthMethod = "/grpc.health.v1.Health/Check"
	unaryMethod  = "/oneport.interop.Echo/Unary"
	bidiMethod   = "/oneport.interop.Echo/Bidi"
	failMethod   = "/oneport.interop.Echo/Fail"
	hangMethod   = "/oneport.interop.Echo/Hang"
)

const (
	bigBody = 4 << 20
	limit   = 30 * time.Second
)

var grpcScenarios = map[string]scenario{
	"one": func(addr string, _ time.Duration) (any, bool) {
		conn := dialGrpc(addr)
		defer conn.Close()
		health := call(conn, healthMethod, nil, limit)
		unary := call(conn, unaryMethod, []byte("hello"), limit)
		return []call1{health, unary}, health.Code == 0 && unary.Code == 0 && unary.Sha == sha([]byte("hello"))
	},
	"many": func(addr string, _ time.Duration) (any, bool) {
		conn := dialGrpc(addr)
		defer conn.Close()
		distinct := map[string]int{}
		for i := range 200 {
			message := []byte(fmt.Sprintf("message %d", i))
			seen := call(conn, unaryMethod, message, limit)
			distinct[fmt.Sprintf("code %d, echoed %v", seen.Code, seen.Sha == sha(message))]++
		}
		return distinct, distinct["code 0, echoed true"] == 200
	},
	"bidi": func(addr string, _ time.Duration) (any, bool) {
		conn := dialGrpc(addr)
		defer conn.Close()
		return bidi(conn)
	},
	"big": func(addr string, _ time.Duration) (any, bool) {
		conn := dialGrpc(addr)
		defer conn.Close()
		seen := call(conn, unaryMethod, pattern(bigBody), limit)
		return seen, seen.Code == 0 && seen.Sha == sha(pattern(bigBody))
	},
	"ends": func(addr string, _ time.Duration) (any, bool) {
		conn := dialGrpc(addr)
		defer conn.Close()
		failed := call(conn, failMethod, nil, limit)
		hung := call(conn, hangMethod, nil, 300*time.Millisecond)
		after := call(conn, unaryMethod, []byte("after"), limit)
		// What a cut call has received of its headers is a race, and so is who
		// ends it: the client at its deadline or the server, which knows it too.
		hung.Headers, hung.Trailers = nil, nil
		if hung.Code == 1 {
			hung.Code = 4
		}
		return []call1{failed, hung, after}, failed.Code == 9 && hung.Code == 4 && after.Code == 0
	},
	"idle": func(addr string, idle time.Duration) (any, bool) {
		conn := dialGrpc(addr)
		defer conn.Close()
		conn.Connect()
		ready := awaitReady(conn)
		time.Sleep(idle)
		before := call(conn, unaryMethod, []byte("first"), limit)
		time.Sleep(idle / 4)
		after := call(conn, unaryMethod, []byte("second"), limit)
		return []any{ready, before, after}, ready && before.Code == 0 && after.Code == 0
	},
	"refused": func(addr string, _ time.Duration) (any, bool) {
		conn := dialGrpc(addr)
		defer conn.Close()
		begin := time.Now()
		seen := call(conn, unaryMethod, []byte("refused"), limit)
		return refused(fmt.Sprintf("code %d", seen.Code), begin, nil)
	},
	"refused-then-served": func(addr string, _ time.Duration) (any, bool) {
		conn := dialGrpc(addr)
		defer conn.Close()
		begin := time.Now()
		seen := call(conn, unaryMethod, []byte("refused"), limit)
		return refused(fmt.Sprintf("code %d", seen.Code), begin, func() string {
			return fmt.Sprintf("code %d", call(conn, healthMethod, nil, limit).Code)
		})
	},
	"burst": func(addr string, _ time.Duration) (any, bool) {
		codes := make([]call1, 20)
		var all sync.WaitGroup
		for i := range codes {
			all.Go(func() {
				conn := dialGrpc(addr)
				defer conn.Close()
				codes[i] = call(conn, unaryMethod, []byte("burst"), limit)
			})
		}
		all.Wait()
		ok := true
		for _, seen := range codes {
			ok = ok && seen.Code == 0
		}
		return codes, ok
	},
}

// call1 is what a client may observe of one call.
type call1 struct {
	Code     int      `json:"code"`
	Message  string   `json:"message,omitempty"`
	Headers  []string `json:"headers"`
	Trailers []string `json:"trailers"`
	Sha      string   `json:"sha"`
}

func dialGrpc(addr string) *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(maxMessage)),
	)
	check(err)
	return conn
}

func call(conn *grpc.ClientConn, method string, message []byte, within time.Duration) call1 {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var answer []byte
	var headers, trailers metadata.MD
	err := conn.Invoke(ctx, method, &message, &answer, grpc.Header(&headers), grpc.Trailer(&trailers))
	seen := call1{Code: int(status.Code(err)), Headers: lines(headers), Trailers: lines(trailers), Sha: sha(answer)}
	if seen.Code == 9 {
		seen.Message = status.Convert(err).Message()
	}
	return seen
}

// bidi sends each message only when the one before has come back.
func bidi(conn *grpc.ClientConn) (any, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	echoed := 0
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, bidiMethod)
	for i := 0; err == nil && i < 20; i++ {
		message, answer := pattern(1000+i), []byte(nil)
		if err = stream.SendMsg(&message); err != nil {
			break
		}
		if err = stream.RecvMsg(&answer); err == nil && bytes.Equal(message, answer) {
			echoed++
		}
	}
	var trailers []string
	if err == nil {
		_ = stream.CloseSend()
		var rest []byte
		if err = stream.RecvMsg(&rest); err == io.EOF {
			err = nil
		}
		trailers = lines(stream.Trailer())
	} else if err == io.EOF { // SendMsg's way to say: the status is with RecvMsg
		var rest []byte
		err = stream.RecvMsg(&rest)
	}
	code := int(status.Code(err))
	return map[string]any{"echoed": echoed, "code": code, "trailers": trailers}, echoed == 20 && code == 0
}

// refused lingers, so that a reconnection would be seen, and makes another
// request if there is one.
func refused(saw string, begin time.Time, another func() string) (any, bool) {
	seen := map[string]any{"saw": saw, "millis": float64(time.Since(begin).Microseconds()) / 1000}
	time.Sleep(300 * time.Millisecond)
	if another != nil {
		seen["then"] = another()
	}
	return seen, true
}

func awaitReady(conn *grpc.ClientConn) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			return false
		}
	}
	return true
}

func grpcFirst(addr string) error {
	conn := dialGrpc(addr)
	defer conn.Close()
	// The one call that the servers of others have, too.
	if seen := call(conn, healthMethod, nil, limit); seen.Code != 0 {
		return fmt.Errorf("code %d", seen.Code)
	}
	return nil
}

// lines gives the fields of a header list in an order that does not depend on
// the run, less the date.
func lines(fields map[string][]string) []string {
	out := []string{}
	for name, values := range fields {
		if name = strings.ToLower(name); name != "date" {
			out = append(out, name+": "+strings.Join(values, ", "))
		}
	}
	sort.Strings(out)
	return out
}

// pattern is a body that shows lost, doubled and swapped pieces in its hash.
func pattern(size int) []byte {
	body := make([]byte, size)
	state := uint32(size)
	for i := range body {
		state = state*1664525 + 1013904223
		body[i] = byte(state >> 24)
	}
	return body
}

func sha(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}
