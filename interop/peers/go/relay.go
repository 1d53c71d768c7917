package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// relay forwards connections and disturbs them as asked:
//
//	-cut    the client's opening comes in pieces, with -pause between them
//	-delay  every byte takes this long, in both directions
//
// It prints a line for each connection, so that the driver can count them. A
// line on its standard input is the target of the connections from then on.
func relay(args []string) {
	flags := flag.NewFlagSet("relay", flag.ExitOnError)
	target := flags.String("target", "", "where to")
	cut := flags.Bool("cut", false, "cut the opening in pieces")
	pause := flags.Duration("pause", 60*time.Millisecond, "between two pieces")
	delay := flags.Duration("delay", 0, "of every byte, each way")
	seed := flags.Int64("seed", 1, "of the offsets")
	check(flags.Parse(args))
	var current atomic.Pointer[string]
	current.Store(target)
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			line := lines.Text()
			current.Store(&line)
		}
		os.Exit(0) // must not outlive its driver
	}()
	listener := listen()
	var count atomic.Int64
	for {
		client, err := listener.Accept()
		check(err)
		n := count.Add(1)
		fmt.Printf("connection %d\n", n)
		go func() {
			server, err := net.Dial("tcp", *current.Load())
			if err != nil {
				reset(client)
				return
			}
			var offsets []int
			if *cut {
				offsets = cuts(*seed + n)
			}
			// Each direction ends on its own; a reset ends both.
			var both sync.WaitGroup
			both.Go(func() { forward(server.(*net.TCPConn), client.(*net.TCPConn), nil, 0, *delay) })
			both.Go(func() { forward(client.(*net.TCPConn), server.(*net.TCPConn), offsets, *pause, *delay) })
			both.Wait()
			_, _ = client.Close(), server.Close()
		}()
	}
}

// landmarks are where an opening is most worth cutting: in the preface, behind
// it, in and behind an empty SETTINGS, and where the first HEADERS often begins.
var landmarks = []int{1, 3, 23, 24, 25, 33, 34, 42, 51, 57, 58, 64, 69, 77, 82}

// cuts gives one to three offsets into the first 300 bytes, in order.
func cuts(seed int64) []int {
	random := rand.New(rand.NewSource(seed))
	var offsets []int
	at := landmarks[random.Intn(len(landmarks))]
	for range 1 + random.Intn(3) {
		offsets = append(offsets, at)
		at += 1 + random.Intn(100)
	}
	return offsets
}

type timed struct {
	at    time.Time
	bytes []byte
}

func forward(from, to *net.TCPConn, offsets []int, pause, delay time.Duration) {
	pieces := make(chan timed, 1024)
	var failure error
	go func() {
		defer close(pieces)
		for {
			chunk := make([]byte, 64<<10)
			n, err := from.Read(chunk)
			if n > 0 {
				pieces <- timed{time.Now().Add(delay), chunk[:n]}
			}
			if err != nil {
				failure = err
				return
			}
		}
	}()
	sent := 0
	for piece := range pieces {
		if delay > 0 {
			time.Sleep(time.Until(piece.at))
		}
		rest := piece.bytes
		for len(offsets) > 0 && offsets[0] <= sent+len(rest) {
			n := offsets[0] - sent
			if _, err := to.Write(rest[:n]); err != nil {
				reset(from)
				return
			}
			sent, rest, offsets = sent+n, rest[n:], offsets[1:]
			time.Sleep(pause)
		}
		if len(rest) > 0 {
			if _, err := to.Write(rest); err != nil {
				reset(from)
				return
			}
			sent += len(rest)
		}
	}
	if errors.Is(failure, syscall.ECONNRESET) {
		reset(to)
	} else if errors.Is(failure, io.EOF) {
		_ = to.CloseWrite()
	}
}

// reset closes with RST.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}
