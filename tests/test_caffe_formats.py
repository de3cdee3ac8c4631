"""rcnn/data/caffe_formats_pb2.py is what protoc makes of the .proto beside it, and caffe.proto's in every field."""

import shutil
import subprocess

import pytest
from caffe.proto import caffe_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor
from runs import ROOT

from rcnn.data import caffe_formats_pb2


@pytest.mark.skipif(shutil.which("protoc") is None, reason="there is no protoc")
def test_the_generated_module_is_of_the_proto(tmp_path):
    source = "rcnn/data/caffe_formats.proto"
    subprocess.run(["protoc", f"--descriptor_set_out={tmp_path / 'set'}", source], cwd=ROOT, check=True)
    file = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file[0]
    for field in (field for message in file.message_type for field in message.field):
        field.ClearField("json_name")
    module = descriptor_pb2.FileDescriptorProto()
    caffe_formats_pb2.DESCRIPTOR.CopyToProto(module)
    assert module == file, f"make it anew: protoc --python_out=. {source}"
    version = subprocess.run(["protoc", "--version"], capture_output=True, text=True).stdout
    if version.startswith("libprotoc 3.21."):
        subprocess.run(["protoc", f"--python_out={tmp_path}", source], cwd=ROOT, check=True)
        made = (tmp_path / "rcnn/data/caffe_formats_pb2.py").read_text()
        assert made == (ROOT / "rcnn/data/caffe_formats_pb2.py").read_text()


@pytest.mark.parametrize("name", caffe_formats_pb2.DESCRIPTOR.message_types_by_name)
def test_every_field_is_caffes(name):
    """But for packed floats, read as bytes, and enumerations, read as numbers."""
    theirs = getattr(caffe_pb2, name).DESCRIPTOR.fields_by_name
    for field in getattr(caffe_formats_pb2, name).DESCRIPTOR.fields:
        other, kind = theirs[field.name], field.type
        assert (field.number, field.label) == (other.number, other.label), field.name
        if other.type == FieldDescriptor.TYPE_ENUM:
            assert kind == FieldDescriptor.TYPE_INT32
        elif kind != other.type:
            assert kind == FieldDescriptor.TYPE_BYTES and other.GetOptions().packed, field.name
