"""What a net's answer rests on: gradients, changed inputs and maps of a layer; and tests of such maps. One file a family."""
