package main

import (
	"net"
	"sync"
	"time"
)

const (
	frameHead     = 9
	kindHeaders   = 1
	kindSettings  = 4
	flagAck       = 1
	lateAckAtMost = 2 * time.Second
)

// lateAck takes the SETTINGS ACKs out of what a server writes and puts them
// behind its first HEADERS, or after two seconds if there is none before.
type lateAck struct {
	net.Conn
	lock    sync.Mutex
	pending []byte // the beginning of a frame that is not complete yet
	held    []byte // ACKs
	timer   *time.Timer
	open    bool // the first HEADERS went out: nothing is held any more
}

func (c *lateAck) Write(p []byte) (int, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.pending = append(c.pending, p...)
	var out []byte
	for len(c.pending) >= frameHead {
		head := c.pending
		size := frameHead + int(head[0])<<16 + int(head[1])<<8 + int(head[2])
		if len(head) < size {
			break
		}
		frame := head[:size]
		switch {
		case !c.open && frame[3] == kindSettings && frame[4]&flagAck != 0:
			c.hold(frame)
		case !c.open && frame[3] == kindHeaders:
			c.open = true
			out = append(append(out, frame...), c.held...)
			c.held = nil
		default:
			out = append(out, frame...)
		}
		c.pending = c.pending[size:]
	}
	if len(out) > 0 {
		if _, err := c.Conn.Write(out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (c *lateAck) hold(ack []byte) {
	c.held = append(c.held, ack...)
	if c.timer == nil {
		c.timer = time.AfterFunc(lateAckAtMost, func() {
			c.lock.Lock()
			defer c.lock.Unlock()
			_, _ = c.Conn.Write(c.held)
			c.held, c.open = nil, true
		})
	}
}
