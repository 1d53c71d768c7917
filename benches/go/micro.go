package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/soheilhy/cmux"
	"golang.org/x/net/http2/hpack"
)

// Something to be repeated, by its name.
type benchmark struct {
	name string
	task func()
}

// What one client sends, and the route where it must end.
type flight struct {
	name, route string
	segments    [][]byte
}

func cases(files []string) []benchmark {
	var all []benchmark
	for _, flight := range readFlights(files[0]) {
		for _, writes := range []bool{true, false} {
			name := "cmux-silent/"
			if writes {
				name = "cmux-writer/"
			}
			all = append(all, benchmark{name + flight.name, playing(flight, writes)})
		}
		if block := firstBlock(flight.segments); block != nil {
			all = append(all, benchmark{"hpack-xnet/" + flight.name + "/first", decoding([]headerBlock{{wire: block}})})
		}
	}
	if len(files) > 1 {
		for _, story := range readStories(files[1]) {
			all = append(all,
				benchmark{"hpack-xnet/" + story.name + "/first", decoding(story.blocks[:1])},
				benchmark{"hpack-xnet/" + story.name + "/whole", decoding(story.blocks)})
		}
	}
	return all
}

// ---- cmux on a connection in memory --------------------------------------------------------------------------------------------

// A client: what it sends, at most a segment a read; what it is told is forgotten. cmux asks for no address.
type client struct {
	segments [][]byte
	rest     []byte
}

func (c *client) Read(into []byte) (int, error) {
	if len(c.rest) == 0 {
		if len(c.segments) == 0 {
			return 0, io.EOF
		}
		c.rest, c.segments = c.segments[0], c.segments[1:]
	}
	n := copy(into, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *client) Write(bytes []byte) (int, error)  { return len(bytes), nil }
func (c *client) Close() error                     { return nil }
func (c *client) LocalAddr() net.Addr              { return nil }
func (c *client) RemoteAddr() net.Addr             { return nil }
func (c *client) SetDeadline(time.Time) error      { return nil }
func (c *client) SetReadDeadline(time.Time) error  { return nil }
func (c *client) SetWriteDeadline(time.Time) error { return nil }

// A listener that only has an address.
type nowhere struct{ net.Listener }

// What cmux does with an accepted connection, in the goroutine that calls it. It is not exported; starting a goroutine for each
// connection, as its Serve does, would measure the scheduler.
//
//go:linkname serveOne github.com/soheilhy/cmux.(*cMux).serve
func serveOne(mux unsafe.Pointer, connection net.Conn, done <-chan struct{}, group *sync.WaitGroup)

// From the accepted connection to the one that the chosen route's listener gives out.
func playing(flight flight, writes bool) func() {
	mux := cmux.New(nowhere{})
	var grpc net.Listener
	if writes {
		grpc = mux.MatchWithWriters(cmux.HTTP2MatchHeaderFieldSendSettings("content-type", "application/grpc"))
	} else {
		grpc = mux.Match(cmux.HTTP2HeaderField("content-type", "application/grpc"))
	}
	// The faster one of its two matchers for HTTP/1.
	routes := map[string]net.Listener{"grpc": grpc, "http1": mux.Match(cmux.HTTP1Fast()), "any": mux.Match(cmux.Any())}
	inside := reflect.ValueOf(mux).UnsafePointer()
	expected, done, group := routes[flight.route], make(chan struct{}), &sync.WaitGroup{}
	var connection client
	return func() {
		connection = client{segments: flight.segments}
		group.Add(1)
		serveOne(inside, &connection, done, group)
		// It blocks for ever if the connection went elsewhere.
		if _, err := expected.Accept(); err != nil {
			log.Fatal(flight.name, ": ", err)
		}
	}
}

// ---- the decoder under Go's HTTP/2 ---------------------------------------------------------------------------------------------

type headerBlock struct {
	size int
	wire []byte
}

type story struct {
	name   string
	blocks []headerBlock
}

func decoding(blocks []headerBlock) func() {
	return func() {
		text := 0
		decoder := hpack.NewDecoder(4096, func(field hpack.HeaderField) { text += len(field.Name) + len(field.Value) })
		for _, block := range blocks {
			if block.size > 0 {
				decoder.SetAllowedMaxDynamicTableSize(uint32(block.size))
			}
			if _, err := decoder.Write(block.wire); err != nil {
				log.Fatal("hpack: ", err)
			}
			if err := decoder.Close(); err != nil {
				log.Fatal("hpack: ", err)
			}
		}
		if text == 0 {
			log.Fatal("hpack: nothing was read")
		}
	}
}

// The header block of the first HEADERS, which no recorded client pads; nil if the opening is not HTTP/2.
func firstBlock(segments [][]byte) []byte {
	const preface, head, headers, priority = 24, 9, 0x1, 0x20
	var opening []byte
	for _, segment := range segments {
		opening = append(opening, segment...)
	}
	if !strings.HasPrefix(string(opening), "PRI * HTTP/2.0") {
		return nil
	}
	for at := preface; at+head <= len(opening); {
		length := int(opening[at])<<16 | int(opening[at+1])<<8 | int(opening[at+2])
		payload := opening[at+head : at+head+length]
		if opening[at+3] == headers {
			if opening[at+4]&priority != 0 {
				payload = payload[5:]
			}
			return payload
		}
		at += head + length
	}
	return nil
}

// ---- samples -------------------------------------------------------------------------------------------------------------------

func ask(cases []benchmark) {
	// So that the thread whose time is taken is the one that works.
	runtime.LockOSThread()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		name, milliseconds, _ := strings.Cut(lines.Text(), " ")
		length, err := strconv.Atoi(milliseconds)
		if err != nil {
			log.Fatal(err)
		}
		sample(find(cases, name).task, time.Duration(length)*time.Millisecond)
	}
}

func find(cases []benchmark, name string) benchmark {
	for _, one := range cases {
		if one.name == name {
			return one
		}
	}
	log.Fatal("no case ", name)
	panic("not reached")
}

// As `sample.rs`. The mean: what the garbage collector does on this thread is part of it; what its own threads do shows in the time of
// the process.
func sample(task func(), length time.Duration) {
	batch := 1
	for {
		started := time.Now()
		for range batch {
			task()
		}
		if time.Since(started) > length/50 {
			break
		}
		batch *= 2
	}
	started, count := time.Now(), 0
	thread, process := processorTime(clockThread), processorTime(clockProcess)
	// At least one batch: on a busy machine the time may be over before the first look at the clock.
	for count == 0 || time.Since(started) < length {
		for range batch {
			task()
		}
		count += batch
	}
	thread, process = processorTime(clockThread)-thread, processorTime(clockProcess)-process
	fmt.Printf("%.2f %.2f %d\n", float64(thread)/float64(count), float64(process)/float64(count), count)
}

// Clocks of Linux, which the package syscall does not name. What getrusage says is as old as the scheduler's last look, some milliseconds.
const (
	clockProcess = 2
	clockThread  = 3
)

func processorTime(clock uintptr) time.Duration {
	var now syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&now)), 0); errno != 0 {
		log.Fatal(errno)
	}
	return time.Duration(now.Nano())
}

func allocations(cases []benchmark) {
	const runs = 1000
	for _, one := range cases {
		one.task()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			one.task()
		}
		runtime.ReadMemStats(&after)
		fmt.Printf("%s %.2f %.0f\n", one.name,
			float64(after.Mallocs-before.Mallocs)/runs, float64(after.TotalAlloc-before.TotalAlloc)/runs)
	}
}

// ---- files ---------------------------------------------------------------------------------------------------------------------

// As the Rust program writes them: NAME ROUTE WAITS SEGMENT,…
func readFlights(file string) (all []flight) {
	for _, words := range lines(file) {
		one := flight{name: words[0], route: words[1]}
		for _, segment := range strings.Split(words[3], ",") {
			one.segments = append(one.segments, unhex(segment))
		}
		all = append(all, one)
	}
	return all
}

// ENCODER STORY TABLE-SIZE WIRE, numbered as the Rust program does.
func readStories(file string) (all []story) {
	last := ""
	for _, words := range lines(file) {
		if key := words[0] + " " + words[1]; key != last {
			last = key
			all = append(all, story{name: fmt.Sprintf("%s-%d", words[0], len(all))})
		}
		size, _ := strconv.Atoi(words[2])
		one := &all[len(all)-1]
		one.blocks = append(one.blocks, headerBlock{size, unhex(words[3])})
	}
	return all
}

func lines(file string) (all [][]string) {
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		all = append(all, strings.Split(line, " "))
	}
	return all
}

func unhex(digits string) []byte {
	bytes, err := hex.DecodeString(digits)
	if err != nil {
		log.Fatal(err)
	}
	return bytes
}
