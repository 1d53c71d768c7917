// The Go half of benches/run: soheilhy/cmux and what it is measured with.
//
//	peers ask FLIGHTS [STORIES]       samples on request, as the Rust program `micro` gives them
//	peers allocations FLIGHTS         lines NAME COUNT BYTES: allocations of one run of each case
//	peers serve direct|cmux http1|h2c
//	peers hold direct|cmux
//	peers share handler|cmux|cmux-send|ports
//	peers versions                    of the modules
//
// Servers print "listening on ADDR" and end with their standard input.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"
)

func main() {
	log.SetFlags(0)
	words := os.Args[1:]
	if len(words) == 0 {
		log.Fatal("usage: peers ask|allocations|serve|hold|share|versions …")
	}
	switch words[0] {
	case "ask":
		ask(cases(words[1:]))
	case "allocations":
		allocations(cases(words[1:]))
	case "serve":
		serve(words[1], words[2])
		untilInputEnds()
	case "hold":
		hold(words[1])
		untilInputEnds()
	case "share":
		share(words[1])
		untilInputEnds()
	case "versions":
		versions()
	default:
		log.Fatalf("no such thing: %s", words[0])
	}
}

func untilInputEnds() {
	io.Copy(io.Discard, os.Stdin)
}

func versions() {
	info, _ := debug.ReadBuildInfo()
	fmt.Println("go", info.GoVersion)
	for _, module := range info.Deps {
		fmt.Println(module.Path, module.Version)
	}
}
