package model

import "encoding/binary"

// pack appends src to dst without its zero bytes, of which states have many:
// for each 8-byte word that is not zero, the number of zero words before it, a
// mask of its non-zero bytes, and those bytes; at the end the number of zero
// words and a zero mask.
func pack(dst, src []byte) []byte {
	skipped := byte(0)
	for len(src) > 0 {
		var word uint64
		if len(src) >= 8 {
			word = binary.LittleEndian.Uint64(src)
			src = src[8:]
		} else {
			for k, b := range src {
				word |= uint64(b) << (8 * k)
			}
			src = nil
		}
		if word == 0 && skipped < 255 {
			skipped++
			continue
		}
		dst = append(dst, skipped, 0)
		skipped = 0
		mask := len(dst) - 1
		for k := range 8 {
			if b := byte(word >> (8 * k)); b != 0 {
				dst[mask] |= 1 << k
				dst = append(dst, b)
			}
		}
		if word == 0 {
			panic("pack: more than 255 zero words in a row")
		}
	}
	return append(dst, skipped, 0)
}

// unpack fills dst with what pack appended to the front of src, and returns
// the remainder of src.
func unpack(dst, src []byte) []byte {
	clear(dst)
	for at := 0; ; at += 8 {
		at += 8 * int(src[0])
		mask := src[1]
		src = src[2:]
		if mask == 0 {
			return src
		}
		for k := range 8 {
			if mask&(1<<k) != 0 {
				dst[at+k] = src[0]
				src = src[1:]
			}
		}
	}
}
